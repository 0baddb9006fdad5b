"""Who takes part in a phase: one implementation's step, and what was measured of it so far."""

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import torch

from bench.measure.steps import Step
from bench.measure.timers import Timer
from bench.results.schema import Samples

SHORTEST_SAMPLE_NS = 200_000
"""Calls are repeated within a sample until it lasts this long, as a clock reads to 100 ns or so. It is
no longer, because the arguments of all of its calls are alive at the same time, kernel maps included:
more of them would push each other out of the caches."""
VISIT_NS = 8_000_000
MOST_SAMPLES = 24
"""A visit takes up to this many samples while it stays within this time; their median counts."""
ALIKE = 1.5
"""Contestants whose calls differ by less than this factor get the same numbers of both."""
HIDDEN_SHARE = 0.5
HIDDEN_NS = 200_000
"""A GPU that still works after a call has returned, for longer than its events tell by this share of
their time and these nanoseconds together, does work that they do not see. Waiting for it takes some
microseconds in any case."""


@dataclass
class Contestant:
    """One implementation's step in a phase, and what was measured of it so far.

    Attributes:
        name: of the implementation.
        number: of the implementation, for the sign of life.
        step: what is timed.
        first_ns: duration of one call, from which the numbers of calls and samples follow.
        peak_bytes: most memory that a call took, where it is known.
        calls: in one sample.
        samples: in one visit.
        is_long: whether a visit's only call is its first call and its sample in one.
        rounds: nanoseconds of each sample, by round.
        first_calls: nanoseconds of the first call of each visit, where the timer asks for it.
        other_rounds: the same by the timer's other clock, where it has one.
        disturbed: rounds in which the operating system took the processor away.
        after_ns: for how long a GPU went on after calls had returned, where the clock tells.
        late: number of samples that a GPU began before all was queued.
        last: result of the last timed call.
        shortest_ns: of the shortest visit, in timed regions.
    """

    name: str
    number: int
    step: Step
    first_ns: int
    peak_bytes: int | None = None
    rounds: list[tuple[int, ...]] = field(default_factory=list)
    first_calls: list[int] = field(default_factory=list)
    other_rounds: list[tuple[int, ...]] = field(default_factory=list)
    disturbed: list[int] = field(default_factory=list)
    after_ns: list[int] = field(default_factory=list)
    late: int = 0
    last: object = None
    calls: int = field(init=False)
    samples: int = field(init=False)
    is_long: bool = field(init=False)
    shortest_ns: float = math.inf

    def __post_init__(self) -> None:
        self.settle()

    def settle(self, alike: "Contestant | None" = None, most_calls: int | None = None) -> None:
        """Choose the numbers of calls and samples.

        Args:
            alike: a contestant whose calls last about as long, to take the numbers of.
            most_calls: of a sample, that the clock allows; None for any.
        """
        in_sample, in_visit = self.step.most_calls
        in_sample = min(in_sample, most_calls or in_sample)
        if alike is not None:
            self.calls, self.samples = min(in_sample, alike.calls), alike.samples
            self.is_long = alike.is_long
        else:
            doublings = round(math.log2(SHORTEST_SAMPLE_NS / self.first_ns))
            self.calls = min(in_sample, 2 ** max(0, doublings))
            self.samples = min(MOST_SAMPLES, VISIT_NS // (self.first_ns * self.calls))
            self.is_long = self.samples == 0
        self.samples = max(1, min(self.samples, in_visit // self.calls))

    def begin_anew(self, first_ns: int) -> None:
        """Forget what was measured."""
        self.first_ns = first_ns
        self.shortest_ns = math.inf
        self.late = 0
        for kept in (
            self.rounds,
            self.first_calls,
            self.other_rounds,
            self.disturbed,
            self.after_ns,
        ):
            kept.clear()

    def result(self, process: int, stop: str, timer: Timer) -> Samples:
        """What the run file keeps."""
        other, none = tuple(self.other_rounds), ()
        return Samples(
            process=process,
            calls=self.calls,
            rounds=tuple(self.rounds),
            first_calls=tuple(self.first_calls),
            wall_rounds=other if timer.is_coarse else none,
            device_rounds=none if timer.is_coarse else other,
            disturbed=tuple(self.disturbed),
            late=self.late,
            is_coarse=timer.is_coarse,
            stop=stop,
        )


@dataclass(frozen=True)
class Race:
    """One phase: who takes part in it, and what they are measured with.

    Attributes:
        contestants: those who have not failed so far.
        timer: the clock.
        device: that the calls run on.
        order: source of each round's order.
        beat: told the number of the implementation at work.
        tell_failure: told of a contestant that failed, and how.
    """

    contestants: list[Contestant]
    timer: Timer
    device: torch.device
    order: random.Random
    beat: Callable[[int], None]
    tell_failure: Callable[[Contestant, Exception], None]

    def shuffled(self) -> list[Contestant]:
        """All contestants, in a fresh random order."""
        return self.order.sample(self.contestants, len(self.contestants))

    def drop(self, contestant: Contestant, error: Exception) -> None:
        """Leave out who failed."""
        self.contestants.remove(contestant)
        self.tell_failure(contestant, error)


def settle(contestants: list[Contestant], most_calls: int | None) -> None:
    """Choose everybody's numbers of calls and samples, the same where calls take about as long.

    Otherwise two that hardly differ could fall on either side of a limit; the one with more calls in
    a sample would then find more of its own data in the caches.
    """
    ascending = sorted(contestants, key=lambda each: each.first_ns)
    before = None
    for contestant in ascending:
        is_alike = before is not None and contestant.first_ns < ALIKE * before.first_ns
        contestant.settle(before if is_alike else None, most_calls)
        before = contestant


def hidden_work(contestant: Contestant, timer: Timer) -> str | None:
    """Say that a GPU works longer than the events on the caller's stream tell, if it does.

    Work on a stream that does not wait for the caller's runs while that is held, and seems to take no
    time.
    """
    if not timer.is_coarse or not contestant.after_ns:
        return None
    after = statistics.median(contestant.after_ns)
    told = statistics.median(chain.from_iterable(contestant.rounds))
    if after <= (1 + HIDDEN_SHARE) * told + HIDDEN_NS:
        return None
    return (
        f"the GPU works for {after / 1000:,.0f} µs after a call has returned, while events on the "
        f"caller's stream tell of {told / 1000:,.0f} µs: it works on another stream, which does not "
        f"wait for the caller's"
    )
