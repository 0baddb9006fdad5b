"""Where a network's time goes: a few passes of their own, with a clock read after every layer."""

import statistics
import time
from typing import Protocol

import torch

from bench.measure.contestant import Contestant, Race
from bench.measure.timers import GpuTimer, Hold, Timer

MOST_PASSES = 9

LayerTimes = dict[str, float]
"""Median nanoseconds by layer, in order."""


class Marks(Protocol):
    """A clock that is read whenever a layer is done."""

    def __call__(self, layer: str) -> None:
        """Read the clock."""
        ...

    def durations(self) -> dict[str, float]:
        """Nanoseconds that passed before each layer was done, from the mark before it on."""
        ...


class WallMarks:
    """Reads the wall clock of the CPU."""

    def __init__(self) -> None:
        self.read: list[tuple[str, int]] = []
        self.start = time.perf_counter_ns()

    def __call__(self, layer: str) -> None:
        """Read the clock."""
        self.read.append((layer, time.perf_counter_ns()))

    def durations(self) -> dict[str, float]:
        """Nanoseconds that passed before each layer was done, from the mark before it on."""
        found: dict[str, float] = {}
        before = self.start
        for layer, now in self.read:
            found[layer] = found.get(layer, 0.0) + now - before
            before = now
        return found


class CudaMarks:
    """Records CUDA events, with L2 flushed before the first.

    Args:
        timer: whose flush it is.
        hold: for the stream while launches are queued; None where it is not to wait, so that what the
            host takes is in the layers, too.
    """

    def __init__(self, timer: GpuTimer, hold: Hold | None) -> None:
        self.device = timer.device
        self.hold = hold
        self.read: list[tuple[str, torch.cuda.Event]] = []
        timer.flush_caches()
        if hold is not None:
            hold.begin()
        self.start = self._event()

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def __call__(self, layer: str) -> None:
        """Record an event."""
        self.read.append((layer, self._event()))

    def durations(self) -> dict[str, float]:
        """Nanoseconds that passed before each layer was done, from the mark before it on."""
        if self.hold is not None:
            self.hold.judge(self.start)
        torch.cuda.synchronize(self.device)
        found: dict[str, float] = {}
        before = self.start
        for layer, event in self.read:
            found[layer] = found.get(layer, 0.0) + before.elapsed_time(event) * 1e6
            before = event
        return found


def marks_for(timer: Timer, hold: Hold) -> Marks:
    """Start the clock that goes with a timer's."""
    if isinstance(timer, GpuTimer):
        return CudaMarks(timer, hold if timer.by_events else None)
    return WallMarks()


def layer_times(race: Race, seconds: float) -> dict[str, LayerTimes]:
    """Pass through the layers of all contestants in turn; return median times by contestant.

    Args:
        race: whoever of its contestants raises is left out.
        seconds: after which no further pass begins; there is one at least, and at most nine.
    """
    end = time.perf_counter() + seconds
    passes: dict[str, list[dict[str, float]]] = {}
    holds = {contestant.name: Hold() for contestant in race.contestants}
    for number in range(MOST_PASSES):
        if number and time.perf_counter() > end:
            break
        for contestant in race.shuffled():
            race.beat(contestant.number)
            try:
                durations = _pass(contestant, race.timer, holds[contestant.name])
            except Exception as error:  # noqa: BLE001  # its owner's, and recorded
                passes.pop(contestant.name, None)
                race.drop(contestant, error)
            else:
                passes.setdefault(contestant.name, []).append(durations)
    return {
        name: {layer: statistics.median(each[layer] for each in own) for layer in own[0]}
        for name, own in passes.items()
    }


def _pass(contestant: Contestant, timer: Timer, hold: Hold) -> dict[str, float]:
    step = contestant.step
    if step.marked is None:
        return {}
    argument = step.prepare()
    marks = marks_for(timer, hold)
    step.marked(argument, marks)
    return marks.durations()
