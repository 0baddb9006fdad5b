"""What went wrong in a worker process, as the status of a cell."""

import torch

from bench.build import why_unbuildable
from bench.errors import first_line, kind_line_and_place, writable
from bench.implementation import Implementation, in_words
from bench.measure.candidate import IncorrectError
from bench.network import Network
from bench.results.schema import Status

ALLOCATION_FAILED = (
    "can't allocate memory",
    "Storage size calculation overflowed",
    "could not create a memory",
    "CUDA error: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "cudaErrorMemoryAllocation",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""What a RuntimeError says where memory has run out or could never suffice: torch, oneDNN, and whatever
asks a GPU for memory by itself (kernels, driver, runtime, cuBLAS, cuDNN). CuPy raises a MemoryError."""


def status_of(error: Exception | SystemExit) -> tuple[Status, str]:
    """Name what went wrong: the status, and one line with the place where it was raised."""
    if isinstance(error, IncorrectError):
        return Status.INCORRECT, writable(str(error))
    if isinstance(error, NotImplementedError):
        return Status.UNSUPPORTED, first_line(error) if str(error).strip() else "not implemented"
    reason = kind_line_and_place(error)
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out_of_memory or any(words in reason for words in ALLOCATION_FAILED):
        return Status.OUT_OF_MEMORY, reason
    return Status.ERROR, reason


def why_unavailable(implementation: Implementation, device: torch.device) -> str | None:
    """Why an implementation cannot run here, or what asking it raised; None if it can."""
    try:
        return in_words("unavailable", implementation.unavailable(device))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in may raise anything
        return status_of(error)[1]


def why_not_run(
    implementation: Implementation, network: Network, dtype: torch.dtype, device: torch.device
) -> tuple[Status, str] | None:
    """Why an implementation says that it cannot run here, or cannot compute this; None if it can."""
    reason = in_words("unavailable", implementation.unavailable(device))
    if reason is not None:
        return Status.UNAVAILABLE, reason
    reason = why_unbuildable(implementation, network, dtype, device)
    return None if reason is None else (Status.UNSUPPORTED, reason)


class DeadDeviceError(BaseException):
    """The CUDA context is dead; no handler of ordinary exceptions may keep this process alive."""


def ensure_device_lives(device: torch.device) -> None:
    """After a failure, end this process if its CUDA context died: the others need a new one."""
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise DeadDeviceError(first_line(error)) from error
