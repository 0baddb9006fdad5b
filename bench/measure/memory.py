"""How much memory one call takes, and a limit that turns too much of it into an error."""

import ctypes
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

SHARE_OF_AVAILABLE = 0.8
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Numbers of glibc's malloc.h."""
PR_SET_THP_DISABLE = 41
PR_GET_THP_DISABLE = 42
"""Numbers of Linux's prctl.h."""
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_of(call: Callable[[], Any], device: torch.device) -> tuple[Any, int | None]:
    """Run a call and return its result and its peak in bytes, or None where the system cannot say.

    On a GPU the allocator's own count; on Linux the resident set's high-water mark, after giving
    freed memory back to the system and without huge pages, so accurate to some tens of kilobytes.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        torch.cuda.synchronize(device)
        return result, torch.cuda.max_memory_allocated(device) - before
    if not _trim() or not _reset_high_water_mark():
        return call(), None
    with _small_pages():
        before = _kilobytes("VmRSS")
        result = call()
        peak = max(0, _kilobytes("VmHWM") - before) * 1024
    _trim()  # or calls to come would find small pages where others have huge ones
    return result, peak


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next allocation; return whether it does.

    By default glibc returns large blocks to the system or not, depending on what was freed before:
    the page faults of getting them back were three quarters of the time of making a dense tensor, in
    some processes and not in others. A GPU's caching allocator keeps its memory likewise.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None) if _STATUS.exists() else None
    if option is None:
        return False
    return bool(option(M_MMAP_MAX, 0) and option(M_TRIM_THRESHOLD, 2**31 - 1))


def freed_bytes() -> int:
    """Return what the C library keeps of freed memory; 0 where it does not say (before glibc 2.33)."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None) if _STATUS.exists() else None
    if tell is None:
        return 0
    tell.restype = _Mallinfo
    return int(tell().fordblks)


class _Mallinfo(ctypes.Structure):
    """Of glibc's malloc.h: `struct mallinfo2`, all arenas' together."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def limit_memory() -> None:
    """Make allocations beyond what the machine has free fail, instead of waking its killer."""
    in_use = _kilobytes("VmData") * 1024 if _STATUS.exists() else 0
    limit = in_use + int(psutil.virtual_memory().available * SHARE_OF_AVAILABLE)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _trim() -> bool:
    """Give freed memory back, so that it cannot be taken again unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _STATUS.exists() else None
    if trim is None:
        return False
    trim(0)
    return True


@contextmanager
def _small_pages() -> Iterator[None]:
    """Have no memory rounded up to huge pages, where the system can be told so.

    NumPy asks for huge pages for arrays of 4 MiB and more. Where they lay in the heap the request
    stays when they are gone: a tensor of 16 MiB there takes 16, 17.5 or 18 MiB, by its address.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None or prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 0:
        yield
        return
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)


def _reset_high_water_mark() -> bool:
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _kilobytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0
