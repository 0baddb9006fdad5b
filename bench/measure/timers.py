"""Clocks: what one sample is taken with."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch

L2_FLUSH_BYTES = 2**28
HOLD_CYCLES = 2_000_000


class Duration(NamedTuple):
    """One sample: nanoseconds by the timer and, where that is a device's, by the wall clock."""

    nanoseconds: int
    wall_nanoseconds: int | None


class Timer(Protocol):
    """Times the same call on several arguments, as one sample."""

    name: str

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        ...


class WallTimer:
    """The wall clock of the CPU. Caches are left as the rivals left them: nothing is flushed."""

    name = "perf_counter_ns; caches not flushed"

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        result = None
        start = time.perf_counter_ns()
        for argument in arguments:
            result = call(argument)
        return Duration(max(1, time.perf_counter_ns() - start), None), result


class CudaTimer:
    """CUDA events around calls that are queued while the stream is held; L2 flushed before."""

    name = "CUDA events; stream held while launches are queued; L2 flushed before each sample"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.flush = torch.empty(L2_FLUSH_BYTES, dtype=torch.uint8, device=device)
        self.start = torch.cuda.Event(enable_timing=True)
        self.stop = torch.cuda.Event(enable_timing=True)

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        result = None
        self.flush.zero_()
        torch.cuda.synchronize(self.device)
        torch.cuda._sleep(HOLD_CYCLES)  # noqa: SLF001  # torch has no public way to hold a stream
        wall = time.perf_counter_ns()
        self.start.record()
        for argument in arguments:
            result = call(argument)
        self.stop.record()
        torch.cuda.synchronize(self.device)
        wall = time.perf_counter_ns() - wall
        return Duration(max(1, int(self.start.elapsed_time(self.stop) * 1e6)), wall), result


def timer_for(device: torch.device) -> Timer:
    """Choose the clock of a device."""
    return CudaTimer(device) if device.type == "cuda" else WallTimer()
