"""What a failure is recorded as, and the machine's rates where memory is short."""

import pytest
import torch

from bench.measure import rates
from bench.measure.failures import (
    DeadDeviceError,
    ensure_device_lives,
    status_of,
    why_unavailable,
)
from bench.results.schema import Status
from impls.gather import Gather


def test_a_device_that_dies_without_a_word_is_dead_all_the_same(monkeypatch):
    def synchronize(_):
        raise RuntimeError

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    with pytest.raises(DeadDeviceError, match="RuntimeError"):
        ensure_device_lives(torch.device("cuda"))


class OutOfMemoryError(MemoryError):
    """CuPy's, which is one of Python's."""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
        RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        OutOfMemoryError("Out of memory allocating 512 bytes"),
    ],
)
def test_whoever_ran_out_of_a_gpus_memory_the_cell_says_so(error):
    status, reason = status_of(error)
    assert status is Status.OUT_OF_MEMORY
    assert str(error).splitlines()[0] in reason


@pytest.mark.parametrize("leaves", [SystemExit(0), RuntimeError("no")])
def test_a_plug_in_that_leaves_when_it_is_asked_cannot_run_here(leaves):
    class Leaving(Gather):
        def unavailable(self, device):
            raise leaves

    assert type(leaves).__name__ in why_unavailable(Leaving(), torch.device("cpu"))


def test_another_cuda_error_is_an_error():
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert status_of(error)[0] is Status.ERROR


def room_for(monkeypatch, most_bytes):
    """Have the copies of a GPU take a second, where there is room for both sides."""
    asked = []

    def seconds(size, device):
        asked.append(size)
        if 2 * size > most_bytes:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1.0

    monkeypatch.setattr(rates, "_copy_seconds", seconds)
    return asked


def test_where_a_gpu_is_nearly_full_the_copy_rate_is_that_of_smaller_copies(monkeypatch):
    asked = room_for(monkeypatch, 3 * 2**30)
    assert rates._copy_rate(torch.device("cuda")) == 2 * 2**30
    assert asked == [2**32, 2**31, 2**30]


def test_copies_that_a_cache_holds_are_no_rate(monkeypatch):
    asked = room_for(monkeypatch, 2**28)
    with pytest.raises(torch.OutOfMemoryError):
        rates._copy_rate(torch.device("cuda"))
    assert min(asked) == rates.FEWEST_COPY_BYTES
