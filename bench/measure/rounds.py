"""Rounds: every implementation is visited in each, in a fresh random order."""

import gc
import math
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.measure.candidate import Step
from bench.measure.stopping import StoppingRule
from bench.measure.timers import Duration, Timer
from bench.results.schema import Samples

SHORTEST_SAMPLE_NS = 200_000
"""Calls are repeated within a sample until it lasts this long: a clock reads to 100 ns or so. Not
longer: what a sample's calls are given is alive together, with what they keep in it, such as maps, and
pushes itself out of the caches."""
VISIT_NS = 8_000_000
MOST_SAMPLES = 24
"""A visit takes up to this many samples while it stays within this time; their median counts."""
ALIKE = 1.5
"""Contestants whose calls differ by less than this factor get the same numbers of both."""
WARMED_CALLS = 4
"""From this many calls a sample on, one untimed call comes first: short calls feel cold caches."""
BLOCKS = 3
BLOCK_BYTES = (14.0, 23.0)
"""Blocks set aside while something is allocated, and their smallest and largest size as powers of
two. They are random so that it lies elsewhere every time: where memory lies makes differences of some
per cent, which would last for the process."""
RENEWAL_SHARE = 0.04
MOST_RENEWALS = 8
"""What a phase's calls share is made anew, to lie elsewhere, so often within this share of its time."""
MISJUDGED = 2
"""If a call takes so many times less than it seemed to, the first round was a rehearsal."""
STALL = 4
"""What a visit takes beyond so many times the shortest one is the machine's: it extends the budget,"""
MOST_LOST = 8
"""by this many times the budget at most."""
FEWEST_ROUNDS = 3
LONGEST_OVERRUN = 3
"""The fewest rounds are measured even past the budget, but not past this many times the budget."""


@dataclass
class Contestant:
    """One implementation's step in a phase, and what was measured of it so far.

    Attributes:
        name: of the implementation.
        number: of the implementation, for the sign of life.
        first_ns: duration of one call, from which the numbers of calls and samples follow.
        calls: in one sample.
        samples: in one visit.
        shortest_ns: of all visits, timed regions only.
    """

    name: str
    number: int
    step: Step
    first_ns: int
    rounds: list[tuple[int, ...]] = field(default_factory=list)
    wall_rounds: list[tuple[int, ...]] = field(default_factory=list)
    disturbed: list[int] = field(default_factory=list)
    last: object = None
    calls: int = field(init=False)
    samples: int = field(init=False)
    shortest_ns: float = math.inf

    def __post_init__(self) -> None:
        self.settle()

    def settle(self, alike: "Contestant | None" = None, most_calls: int | None = None) -> None:
        """Choose the numbers of calls and samples, or take those of one whose calls last as long."""
        in_sample, in_visit = self.step.most_calls
        in_sample = min(in_sample, most_calls or in_sample)
        if alike is not None:
            self.calls, self.samples = min(in_sample, alike.calls), alike.samples
        else:
            doublings = round(math.log2(SHORTEST_SAMPLE_NS / self.first_ns))
            self.calls = min(in_sample, 2 ** max(0, doublings))
            self.samples = min(MOST_SAMPLES, VISIT_NS // (self.first_ns * self.calls))
        self.samples = max(1, min(self.samples, in_visit // self.calls))

    def result(self, process: int, stop: str) -> Samples:
        """What the run file keeps."""
        return Samples(
            process=process,
            calls=self.calls,
            rounds=tuple(self.rounds),
            wall_rounds=tuple(self.wall_rounds),
            disturbed=tuple(self.disturbed),
            stop=stop,
        )


@dataclass
class Spent:
    """Wall seconds by what they were spent on."""

    timed: float = 0.0
    warm_up: float = 0.0


def run_rounds(
    contestants: list[Contestant],
    timer: Timer,
    *,
    seconds: float,
    rule: StoppingRule,
    order: random.Random,
    beat: Callable[[int], None],
    drop: Callable[[Contestant, Exception], None],
    spent: Spent,
    take_turns: Callable[[], None] = lambda: None,
    check: Callable[[str], None] = lambda _: None,
    rehearses: bool | None = None,
) -> str:
    """Measure until the rule is met or the budget ends; return why it ended.

    Args:
        contestants: who takes part; one whose call raises is handed to `drop` and left out.
        timer: the clock.
        seconds: the budget.
        rule: when to stop.
        order: source of each round's order.
        beat: told the number of the implementation at work.
        drop: told of a contestant that failed, and how.
        spent: added to.
        take_turns: called between visits; returns when this process may go on.
        check: called with the name after every visit; raises where the others were touched.
        rehearses: whether the first round is not kept; by default, if calls were much shorter in it
            than they had seemed.
    """
    start = time.perf_counter()
    _settle(contestants, timer.most_calls)
    renewals = _renewals(contestants, seconds)
    renewed = done = 0
    lost = 0.0
    is_rehearsed = False
    with _quiet_collector():
        while contestants:
            elapsed = time.perf_counter() - start
            if _is_spent(elapsed, lost, seconds, done):
                return "budget"
            renews = renewed < renewals and elapsed > (renewed + 1) * seconds / (renewals + 1)
            renewed += renews
            for contestant in order.sample(contestants, len(contestants)):
                beat(contestant.number)
                contestant.last = None
                blocks = _blocks(order)
                try:
                    if renews:
                        before = time.perf_counter()
                        contestant.step.renew()
                        spent.warm_up += time.perf_counter() - before
                    lost += _visit(contestant, timer, spent)
                    check(contestant.name)
                except Exception as error:  # noqa: BLE001  # its owner's, and recorded
                    contestants.remove(contestant)
                    rule.restart()
                    drop(contestant, error)
                del blocks
                take_turns()
            if not is_rehearsed:
                is_rehearsed = True
                if _is_rehearsal(contestants) if rehearses is None else rehearses:
                    _forget_rehearsal(contestants, timer.most_calls, spent)
                    continue
            done += 1
            if contestants:
                rule.add([_median(c.rounds[-1]) / c.calls for c in contestants])
                reason = rule.finished()
                if reason is not None:
                    return reason
    return "budget"


def _is_spent(elapsed: float, lost: float, seconds: float, done: int) -> bool:
    """Whether the budget is used up after so many rounds, of which the machine lost some time."""
    used = elapsed - min(lost, MOST_LOST * seconds)
    return bool(done) and used > seconds * (1 if done >= FEWEST_ROUNDS else LONGEST_OVERRUN)


def _settle(contestants: list[Contestant], most_calls: int | None) -> None:
    """Choose numbers of calls and samples, the same where calls take about as long.

    Otherwise two that hardly differ could fall on either side of a limit, and one of them feel its own
    results in the caches more than the other.
    """
    ascending = sorted(contestants, key=lambda each: each.first_ns)
    before = None
    for contestant in ascending:
        is_alike = before is not None and contestant.first_ns < ALIKE * before.first_ns
        contestant.settle(before if is_alike else None, most_calls)
        before = contestant


def _is_rehearsal(contestants: list[Contestant]) -> bool:
    """Whether the first round shows that calls are much shorter than they seemed."""
    return any(
        min(each.rounds[0]) // each.calls * MISJUDGED < each.first_ns for each in contestants
    )


def _forget_rehearsal(contestants: list[Contestant], most_calls: int | None, spent: Spent) -> None:
    """Begin anew, with numbers of calls that follow from the first round."""
    for contestant in contestants:
        nanoseconds = min(contestant.rounds[0]) // contestant.calls
        seconds = sum(contestant.wall_rounds[0] if contestant.wall_rounds else contestant.rounds[0])
        spent.timed -= seconds * 1e-9
        spent.warm_up += seconds * 1e-9
        contestant.first_ns = max(1, nanoseconds)
        contestant.shortest_ns = math.inf
        for kept in (contestant.rounds, contestant.wall_rounds, contestant.disturbed):
            kept.clear()
    _settle(contestants, most_calls)


def _visit(contestant: Contestant, timer: Timer, spent: Spent) -> float:
    """Take the samples of one round; return the seconds for which the machine stalled."""
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    durations = _samples(contestant, timer, spent)
    if resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw != switches:
        contestant.disturbed.append(len(contestant.rounds))
    contestant.rounds.append(tuple(duration.nanoseconds for duration in durations))
    wall = tuple(d.wall_nanoseconds for d in durations if d.wall_nanoseconds is not None)
    if wall:
        contestant.wall_rounds.append(wall)
    nanoseconds = sum(wall or contestant.rounds[-1])
    spent.timed += nanoseconds * 1e-9
    contestant.shortest_ns = min(contestant.shortest_ns, nanoseconds)
    return max(0.0, nanoseconds - STALL * contestant.shortest_ns) * 1e-9


def _samples(contestant: Contestant, timer: Timer, spent: Spent) -> list[Duration]:
    """Take a visit's samples, after an untimed call where calls are short."""
    step, calls = contestant.step, contestant.calls
    if calls >= WARMED_CALLS:
        before = time.perf_counter()
        step.call(step.prepare())
        spent.warm_up += time.perf_counter() - before
    durations: list[Duration] = []
    for _ in range(contestant.samples):
        arguments = [step.prepare() for _ in range(calls)]
        contestant.last = None
        duration, contestant.last = timer.time(step.call, arguments)
        durations.append(duration)
    return durations


def _renewals(contestants: list[Contestant], seconds: float) -> int:
    """How often everything can be made anew, at the cost of two calls each."""
    cost = 2e-9 * sum(contestant.first_ns for contestant in contestants)
    return min(MOST_RENEWALS, int(RENEWAL_SHARE * seconds / cost)) if cost else 0


def _blocks(order: random.Random) -> list[NDArray[np.uint8]]:
    """Take memory, to move what is allocated next."""
    sizes = [int(2 ** order.uniform(*BLOCK_BYTES)) for _ in range(BLOCKS)]
    return [np.empty(size, np.uint8) for size in sizes]


def _median(values: tuple[int, ...]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (
        float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    )


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Keep the garbage collector out of timed regions.

    Whatever is alive is set aside for good, so that collecting between phases stays cheap.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
