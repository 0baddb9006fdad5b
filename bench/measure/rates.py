"""The machine's own limits, measured in the same run: matrix multiply rate and copy rate."""

import time
from collections.abc import Callable

import torch

from bench.dtypes import products_in, torch_dtype
from bench.measure.timers import FIRST_HOLD_CYCLES
from bench.results.schema import Rate

MATRIX_SIZES = {"cpu": 1024, "cuda": 8192}
COPY_BYTES = {"cpu": 2**27, "cuda": 2**32}
FEWEST_COPY_BYTES = 2**28
"""Fewer would fit a GPU's L2 cache."""
SECONDS = 0.5
FEWEST = 3
MILLISECONDS_A_SECOND = 1000


def machine_rates(dtypes: tuple[str, ...], device: torch.device) -> tuple[Rate, ...]:
    """Measure the best of several matrix products and copies, for each element type."""
    copied = _copy_rate(device)
    return tuple(Rate(device.type, name, _matrix_rate(name, device), copied) for name in dtypes)


def _matrix_rate(dtype: str, device: torch.device) -> float:
    """Multiply-adds per second of a square matrix product; 0 where torch has none."""
    size = MATRIX_SIZES[device.type]
    try:
        left = torch.randn((size, size), device=device).to(torch_dtype(dtype))
        right = torch.randn((size, size), device=device).to(torch_dtype(dtype))
        with products_in(dtype):
            return size**3 / _best_seconds(lambda: left @ right, device)
    except RuntimeError:
        return 0.0


def _copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a large copy, of as much as a GPU has room for."""
    size = COPY_BYTES[device.type]
    while True:
        try:
            return 2 * size / _copy_seconds(size, device)
        except torch.OutOfMemoryError:
            size //= 2
            if size < FEWEST_COPY_BYTES:
                raise


def _copy_seconds(size: int, device: torch.device) -> float:
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return _best_seconds(lambda: target.copy_(source), device)


def _best_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The shortest of repeated calls: a limit is what can be reached, not what is usual."""
    best = float("inf")
    count = 0
    start = time.perf_counter()
    while count < FEWEST or time.perf_counter() - start < SECONDS:
        elapsed = _seconds(call, device)
        count += 1
        if count > 1:
            best = min(best, elapsed)
    return best


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Of one call; on a GPU between two events, on a stream held back until the call is queued."""
    if device.type != "cuda":
        before = time.perf_counter()
        call()
        return time.perf_counter() - before
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(FIRST_HOLD_CYCLES)  # noqa: SLF001  # torch has no other name for it
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return float(start.elapsed_time(stop)) / MILLISECONDS_A_SECOND
