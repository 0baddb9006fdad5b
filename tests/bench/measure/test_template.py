"""What a process must not have done that workers are forked from."""

import ctypes
import subprocess

from bench.measure.template import is_driver_open

DRIVER = """
static int status = 3;
int cuInit(unsigned int flags) { status = 0; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return status; }
"""


def test_a_driver_that_was_opened_without_torch_is_seen(tmp_path):
    path = tmp_path / "libpretended.so.1"
    compile_it = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
    subprocess.run(compile_it, input=DRIVER, text=True, check=True)
    assert not is_driver_open(str(path))  # nobody has loaded it
    driver = ctypes.CDLL(str(path))
    assert not is_driver_open(str(path))
    driver.cuInit(0)
    assert is_driver_open(str(path))
