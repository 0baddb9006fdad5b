"""Where a single operator's time goes: what a call takes less when one of its parts is left out."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.measure.contestant import Contestant, Race
from bench.measure.failures import ensure_device_lives
from bench.measure.timers import Timer

MOST_TURNS = 25
REST = "rest"

PartTimes = dict[str, float]
"""Median nanoseconds by part, and `rest`."""


def part_times(race: Race, seconds: float) -> dict[str, PartTimes]:
    """Time calls with and without each part in turn; return what the parts take by contestant.

    Args:
        race: contestants take part whose steps have ablations; whoever raises gets no parts.
        seconds: of one contestant, after which no further turn begins; there is one at least, and at
            most 25.

    Raises:
        DeadDeviceError: if a call that raised left a dead CUDA context behind.
    """
    found: dict[str, PartTimes] = {}
    for contestant in race.contestants:
        if contestant.step.ablations is None:
            continue
        race.beat(contestant.number)
        try:
            lacking = contestant.step.ablations()
            if lacking:
                found[contestant.name] = _parts(
                    contestant, lacking, race.timer, seconds, race.order
                )
        except Exception:  # noqa: BLE001  # its times stand without them
            if race.device.type == "cuda":
                ensure_device_lives(race.device)
    return found


def _parts(
    contestant: Contestant,
    lacking: Mapping[str, Callable[[], object]],
    timer: Timer,
    seconds: float,
    order: random.Random,
) -> PartTimes:
    step = contestant.step
    calls: dict[str | None, Callable[[Any], Any]] = {None: step.call}
    calls |= {part: partial(_without_argument, less) for part, less in lacking.items()}
    taken: dict[str | None, list[float]] = {part: [] for part in calls}
    end = time.perf_counter() + seconds
    for turn in range(MOST_TURNS + 1):
        if turn > 1 and time.perf_counter() > end:
            break
        for part in order.sample(list(calls), len(calls)):
            arguments = [step.prepare() for _ in range(contestant.calls)]
            duration, _ = timer.time(calls[part], arguments)
            if turn:  # the first one warms up
                taken[part].append(duration.nanoseconds / contestant.calls)
    medians = {part: statistics.median(each) for part, each in taken.items()}
    whole = medians.pop(None)
    parts = {str(part): max(0.0, whole - less) for part, less in medians.items()}
    return parts | {REST: max(0.0, whole - sum(parts.values()))}


def _without_argument(call: Callable[[], object], _: object) -> object:
    return call()
