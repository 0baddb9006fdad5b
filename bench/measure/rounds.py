"""Rounds: every implementation is visited in each, in a fresh random order."""

import gc
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.measure.contestant import Contestant, Race, settle
from bench.measure.spent import Spent
from bench.measure.stopping import StoppingRule
from bench.measure.timers import Duration, Timer
from bench.results.schema import value_of_round

BLOCKS = 3
BLOCK_BYTES = (14.0, 23.0)
"""So many blocks of memory are set aside during a visit, of random sizes between these powers of two,
so that what the visit allocates lies elsewhere every time. Where memory lies makes differences of some
per cent, which would otherwise last as long as the process."""
RENEWAL_SHARE = 0.04
MOST_RENEWALS = 8
"""What a phase's calls share is made anew, to lie elsewhere, this many times at most, and only as often
as takes this share of the budget."""
MISJUDGED = 2
"""If a call is this many times as fast as was thought, the first round counts as a rehearsal."""
STALL = 4
"""A visit that takes more than this many times the shortest one was stalled by the machine. What it
takes beyond that extends the budget,"""
MOST_LOST = 8
"""by this many times the budget at most."""
FEWEST_ROUNDS = 3
LONGEST_OVERRUN = 3
"""The fewest rounds are measured even past the budget, but not past this many times the budget."""


def run_rounds(
    race: Race,
    *,
    seconds: float,
    rule: StoppingRule,
    spent: Spent,
    take_turns: Callable[[], None] = lambda: None,
    check: Callable[[str], None] = lambda _: None,
    rehearses: bool | None = None,
) -> str:
    """Measure until the rule is met or the budget ends; return why it ended.

    Args:
        race: whoever of its contestants raises is left out.
        seconds: the budget.
        rule: when to stop.
        spent: added to.
        take_turns: called between visits; returns when this process may go on.
        check: called with the name after every visit; raises if it changed what belongs to all.
        rehearses: whether the first round is thrown away; by default it is if calls were much shorter
            in it than was thought.
    """
    contestants, timer = race.contestants, race.timer
    start = time.perf_counter()
    settle(contestants, timer.most_calls)
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
            for contestant in race.shuffled():
                race.beat(contestant.number)
                contestant.last = None
                blocks = _blocks(race.order, race.device)
                try:
                    if renews:
                        before = time.perf_counter()
                        contestant.step.renew()
                        spent.add("warm-up", time.perf_counter() - before)
                    lost += _visit(contestant, timer, spent)
                    check(contestant.name)
                except Exception as error:  # noqa: BLE001  # its owner's, and recorded
                    rule.restart()
                    race.drop(contestant, error)
                del blocks
                take_turns()
            if not is_rehearsed:
                is_rehearsed = True
                if _is_rehearsal(contestants) if rehearses is None else rehearses:
                    _forget_rehearsal(contestants, timer.most_calls, spent)
                    continue
            done += 1
            if contestants:
                rule.add([_value(c.rounds[-1], timer) / c.calls for c in contestants])
                reason = rule.finished()
                if reason is not None:
                    return reason
    return "budget"


def _is_spent(elapsed: float, lost: float, seconds: float, done: int) -> bool:
    """Whether the budget is used up after so many rounds, of which the machine lost some time."""
    used = elapsed - min(lost, MOST_LOST * seconds)
    return bool(done) and used > seconds * (1 if done >= FEWEST_ROUNDS else LONGEST_OVERRUN)


def _is_rehearsal(contestants: list[Contestant]) -> bool:
    """Whether the first round shows that calls are much shorter than they seemed."""
    return any(
        min(each.rounds[0]) // each.calls * MISJUDGED < each.first_ns for each in contestants
    )


def _forget_rehearsal(contestants: list[Contestant], most_calls: int | None, spent: Spent) -> None:
    """Begin anew, with numbers of calls that follow from the first round."""
    for contestant in contestants:
        nanoseconds = min(contestant.rounds[0]) // contestant.calls
        seconds = _seconds_of_last_visit(contestant)
        spent.add("timed", -seconds)
        spent.add("warm-up", seconds)
        contestant.begin_anew(max(1, nanoseconds))
    settle(contestants, most_calls)


def _visit(contestant: Contestant, timer: Timer, spent: Spent) -> float:
    """Take the samples of one round; return the seconds for which the machine stalled."""
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    durations = _samples(contestant, timer)
    if resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw != switches:
        contestant.disturbed.append(len(contestant.rounds))
    contestant.rounds.append(tuple(duration.nanoseconds for duration in durations))
    contestant.late += sum(not duration.was_held for duration in durations)
    seconds = _seconds_of_last_visit(contestant)
    spent.add("timed", seconds)
    contestant.shortest_ns = min(contestant.shortest_ns, seconds * 1e9)
    return max(0.0, seconds - STALL * contestant.shortest_ns * 1e-9)


def _seconds_of_last_visit(contestant: Contestant) -> float:
    """In timed regions, by either clock."""
    both = (contestant.rounds, contestant.other_rounds)
    nanoseconds = sum(sum(rounds[-1]) for rounds in both if rounds)
    if contestant.first_calls and not contestant.is_long:
        nanoseconds += contestant.first_calls[-1]
    return nanoseconds * 1e-9


def _samples(contestant: Contestant, timer: Timer) -> list[Duration]:
    """Take a visit's samples, after a first call, which finds the caches as others left them."""
    step, calls = contestant.step, contestant.calls
    durations: list[Duration] = []
    if timer.times_first_calls:
        duration, contestant.last = timer.time(step.call, [step.prepare()])
        contestant.first_calls.append(duration.nanoseconds)
        if contestant.is_long:
            return [duration]
    if timer.time_by_other is not None:
        arguments = [step.prepare() for _ in range(calls)]
        duration, contestant.last = timer.time_by_other(step.call, arguments)
        contestant.other_rounds.append((duration.nanoseconds,))
        if duration.after_ns is not None:
            contestant.after_ns.append(duration.after_ns)
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


def _blocks(order: random.Random, device: torch.device) -> list[Tensor]:
    """Take memory, to move what is allocated next."""
    sizes = [int(2 ** order.uniform(*BLOCK_BYTES)) for _ in range(BLOCKS)]
    return [torch.empty(size, dtype=torch.uint8, device=device) for size in sizes]


def _value(durations: tuple[int, ...], timer: Timer) -> float:
    return value_of_round(durations, is_coarse=timer.is_coarse)


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
