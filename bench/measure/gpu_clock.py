"""What a GPU's clocks are worth: how fine they are, and what they read of a call that does nothing."""

import statistics
import time
from itertools import pairwise

import torch

from bench.measure.timers import GpuTimer

SAMPLES = 25
EVENTS = 400
LAUNCHES = 200


def clock_in_words(device: torch.device) -> str:
    """Measure it, in a fraction of a second; empty for a CPU, whose clock needs no measuring."""
    if device.type != "cuda":
        return ""
    timer = GpuTimer(device, by_events=True)
    empty = [timer.time(_nothing, [None])[0].nanoseconds for _ in range(SAMPLES)]
    waited = [timer.time_by_other(_nothing, [None])[0].nanoseconds for _ in range(SAMPLES)]
    return (
        f"events tick every {_tick(device):,} ns; a call that does nothing takes "
        f"{_microseconds(statistics.fmean(empty))} by events and "
        f"{_microseconds(statistics.median(waited))} by the wall clock; launching a kernel takes the "
        f"host {_microseconds(_launch(device))}"
    )


def _nothing(_: object) -> None:
    """Do nothing, which is what is timed."""


def _tick(device: torch.device) -> int:
    """Nanoseconds by which times between two events differ at least, if they differ."""
    word = torch.zeros(1, device=device)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(EVENTS)]
    for event in events:
        event.record()
        word.zero_()
    torch.cuda.synchronize(device)
    read = {round(before.elapsed_time(after) * 1e6) for before, after in pairwise(events)}
    apart = [after - before for before, after in pairwise(sorted(read | {0}))]
    return min(apart, default=0)


def _launch(device: torch.device) -> float:
    """Nanoseconds of the host, on average over several kernels."""
    word = torch.zeros(1, device=device)
    torch.cuda.synchronize(device)
    start = time.perf_counter_ns()
    for _ in range(LAUNCHES):
        word.zero_()
    taken = time.perf_counter_ns() - start
    torch.cuda.synchronize(device)
    return taken / LAUNCHES


def _microseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1000:.1f} µs"
