"""Every CUDA kernel compiles without a GPU, and keeps what it computes with in registers."""

import pytest

from bench.errors import UserError
from impls.cuda.launching import Kernel, all_kernels
from tools import kernels

LARGEST_STACK_BYTES = 64
"""A few registers' worth, which an assembler may spill for occupancy; an array takes more."""
MOST_SHARED_BYTES = 163 * 1024
"""That a block may be given on sm_80, which has less than sm_90."""


@pytest.fixture(scope="module", autouse=True)
def _nvrtc():
    try:
        kernels.nvrtc()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("architecture", kernels.ARCHITECTURES)
def test_every_kernel_compiles_and_keeps_its_arrays_in_registers(architecture):
    compiled = list(kernels.compile_all(architecture))
    assert sorted(one.kernel.name for one in compiled) == sorted(
        kernel.name for kernel in all_kernels()
    )
    for one in compiled:
        assert one.stack_bytes <= LARGEST_STACK_BYTES, one
        assert one.spill_bytes <= LARGEST_STACK_BYTES, one
        assert one.shared_bytes - one.kernel.shared_bytes <= 48 * 1024, one
        assert one.shared_bytes <= MOST_SHARED_BYTES, one
        assert 0 < one.registers * one.kernel.threads <= 65536, one


def test_what_does_not_compile_is_said_with_the_compilers_words():
    with pytest.raises(UserError, match=r"(?s)pooling\.cu does not compile for sm_90.*Int8"):
        kernels.compile_file("pooling.cu", [Kernel("pooling.cu", "pool<Int8>")], "sm_90")


def test_the_command_prints_a_line_for_each_kernel(monkeypatch, capsys):
    few = [kernel for kernel in all_kernels() if kernel.file == "index.cu"]
    monkeypatch.setattr(kernels, "all_kernels", lambda: few)
    assert kernels.main(["--arch", "sm_90"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["mark_sites", "insert_sites"]
    assert all(line.startswith("sm_90") and "registers" in line for line in lines)
