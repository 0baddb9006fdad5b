"""One measuring run at a time, and nobody locked out by one that ended."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from bench.errors import UserError
from bench.exclusive import exclusive, resources

HOLDER = """
import sys
from pathlib import Path
from bench.exclusive import exclusive
with exclusive(sys.argv[2:], folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that measures on processor 0 and a GPU."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), "processor-0", "gpu-GPU-aa"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_with_the_holders_name(holder, tmp_path):
    expected = rf"processor 0 is in use by another measurement, process {holder.pid} .*--wait"
    with (
        pytest.raises(UserError, match=expected),
        exclusive(["processor-0"], folder=tmp_path),
    ):
        pytest.fail("both measured")


def test_a_gpu_is_held_by_its_uuid_whatever_its_number(holder, tmp_path, monkeypatch):
    uuids = {None: "GPU-bb", 1: "GPU-aa"}
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid=uuids[device.index]),
    )
    (free,) = set(resources("cuda")) - set(resources("cpu"))
    (taken,) = set(resources("cuda:1")) - set(resources("cpu"))
    with exclusive([free], folder=tmp_path):
        pass
    expected = rf"gpu GPU-aa is in use by another measurement, process {holder.pid} "
    with pytest.raises(UserError, match=expected), exclusive([taken], folder=tmp_path):
        pytest.fail("both measured")


def test_a_second_run_waits_if_asked_to_and_says_for_whom(holder, tmp_path):
    told = []

    def tell(line):
        told.append(line)
        threading.Timer(0.7, holder.kill).start()  # it is waited for more than once

    with exclusive(["processor-0"], wait=True, tell=tell, folder=tmp_path):
        assert holder.wait() != 0
    (line,) = told
    assert str(holder.pid) in line


def test_a_command_that_is_not_utf8_may_hold_too(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sparsebench", "run", "caf\udce9.py"])
    with exclusive(["processor-0"], folder=tmp_path):
        assert "run caf?.py" in (tmp_path / "sparsebench-processor-0.lock").read_text()


def test_a_killed_holder_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    with exclusive(["processor-0"], folder=tmp_path):
        assert (tmp_path / "sparsebench-processor-0.lock").exists()


def test_other_processors_are_free(holder, tmp_path):
    with exclusive(["processor-1", "gpu-GPU-1a2b"], folder=tmp_path):
        pass


def test_a_run_has_its_processors_to_itself():
    names = resources("cpu")
    assert names
    assert all(name.startswith("processor-") for name in names)


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "sparsebench-processor-0.lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(UserError, match="cannot open the lock"),
        exclusive(["processor-0"], folder=tmp_path),
    ):
        pytest.fail("it followed the link")
    assert not (tmp_path / "precious").exists()
