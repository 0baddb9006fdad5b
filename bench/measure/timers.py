"""Clocks: what one sample is taken with."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch

L2_FLUSH_BYTES = 2**28
HOLD_CYCLES = 2_000_000
"""A millisecond at 2 GHz."""
LONGEST_HOLD_CYCLES = 16 * HOLD_CYCLES
OFTEN = 0.1
"""Share of samples from which on a hold was often too short."""


class Duration(NamedTuple):
    """One sample: nanoseconds by the timer and, where that is a device's, by the wall clock.

    The wall clock's are without the time for which a stream was held: they end when the caller knows
    that the device is done, and what was queued meanwhile took it no time.
    """

    nanoseconds: int
    wall_nanoseconds: int | None


class Timer(Protocol):
    """Times the same call on several arguments, as one sample.

    Attributes:
        most_calls: that a sample may have; None for as many as there are arguments for.
    """

    most_calls: int | None

    def words(self, call: Callable[[Any], Any]) -> str:
        """Say how a call was timed."""
        ...

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        ...


class WallTimer:
    """The wall clock of the CPU. Caches are left as the rivals left them: nothing is flushed."""

    most_calls: int | None = None

    def words(self, call: Callable[[Any], Any]) -> str:
        """Say how a call was timed."""
        del call
        return "perf_counter_ns; caches not flushed"

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        result = None
        start = time.perf_counter_ns()
        for argument in arguments:
            result = call(argument)
        return Duration(max(1, time.perf_counter_ns() - start), None), result


class Hold:
    """Keeps a stream waiting while launches are queued, so that no gap between them is timed.

    Whatever ended before all was queued is doubled for the next sample. Where the longest does not
    suffice, the call waits for the device itself: it gets the shortest, and none would be better.

    Attributes:
        cycles: of the GPU's clock.
        samples: that were held.
        short: those of them in which the stream went on before all was queued.
    """

    def __init__(self) -> None:
        self.cycles = HOLD_CYCLES
        self.samples = 0
        self.short = 0
        self._is_hopeless = False

    def begin(self) -> None:
        """Hold the current stream."""
        torch.cuda._sleep(self.cycles)  # noqa: SLF001  # torch has no public way to hold a stream
        self.samples += 1

    def judge(self, start: torch.cuda.Event) -> None:
        """Look whether the stream passed what was recorded behind the hold, now that all is queued."""
        if not start.query():
            return
        self.short += 1
        self._is_hopeless |= self.cycles >= LONGEST_HOLD_CYCLES
        self.cycles = HOLD_CYCLES if self._is_hopeless else 2 * self.cycles


class CudaTimer:
    """CUDA events around a call that is queued while the stream is held; L2 flushed before.

    One call a sample: of several, all but the first would find in L2 what the one before left there,
    and fast contestants would have more of them than slow ones. Calls have holds of their own.
    """

    most_calls: int | None = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.flush = torch.empty(L2_FLUSH_BYTES, dtype=torch.uint8, device=device)
        self.held = torch.cuda.Event(enable_timing=True)
        self.start = torch.cuda.Event(enable_timing=True)
        self.stop = torch.cuda.Event(enable_timing=True)
        self.holds: defaultdict[Callable[[Any], Any], Hold] = defaultdict(Hold)

    def words(self, call: Callable[[Any], Any]) -> str:
        """Say how a call was timed."""
        words = "CUDA events; stream held while launches are queued; L2 flushed before each call"
        hold = self.holds[call]
        if not hold.short:
            return words
        often = "more" if hold.short > OFTEN * hold.samples else "no more"
        return f"{words}; the hold ended too early in {often} than {OFTEN:.0%} of samples"

    def time(self, call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        result = None
        hold = self.holds[call]
        self.flush.zero_()
        torch.cuda.synchronize(self.device)
        wall = time.perf_counter_ns()
        self.held.record()
        hold.begin()
        self.start.record()
        for argument in arguments:
            result = call(argument)
        self.stop.record()
        hold.judge(self.start)
        torch.cuda.synchronize(self.device)
        wall = time.perf_counter_ns() - wall
        held, own = self.held.elapsed_time(self.start), self.start.elapsed_time(self.stop)
        return Duration(max(1, round(own * 1e6)), max(1, wall - round(held * 1e6))), result


def timer_for(device: torch.device) -> Timer:
    """Choose the clock of a device."""
    return CudaTimer(device) if device.type == "cuda" else WallTimer()
