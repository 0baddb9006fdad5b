"""Times and ratios with their intervals: paired log-ratios, rounds in processes as random effects."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from bench.results.schema import Samples, Timing, value_of_round
from bench.statistics.random_effects import (
    ENOUGH_TO_STRAY,
    TINY,
    Mean,
    Processes,
    Values,
    join,
    mean_of,
    not_stray,
    processes_of,
    quantile,
)

FEWEST_SHARED = 2
"""Processes that must have measured all cells, for what they share to be known."""
DEAD_BAND = math.log1p(0.01)
"""Logarithm of the ratio up to which a change is not worth a verdict."""
POWER_QUANTILE = 0.8416
"""Of the normal distribution, at 0.8: what is detectable is found four times out of five."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 99 % interval.

    A single round tells nothing of how far off it is: its interval is open, from 0 to infinity.
    """

    estimate: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there was more than one round to tell an interval by."""
        return self.low > 0 and math.isfinite(self.high)

    def inverse(self) -> "Interval":
        """Of the ratio the other way round; an open one stays open."""
        if not self.is_known:
            return Interval(1 / self.estimate, self.low, self.high)
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low)


@dataclass(frozen=True)
class Ratio:
    """How many times as long one cell takes as another.

    Attributes:
        interval: of the ratio; below 1 is faster.
        p_value: two-sided, for the ratio lying outside of the dead band; from the normal distribution
            that has the same interval, because a correction for 1,000 cells needs tails that a few
            degrees of freedom have no end of.
        detectable: the smallest relative change that such a measurement tells from none four times
            out of five, if it is the only one; infinite where the interval is open.
        rounds: number of paired rounds, over all processes.
        strays: number of processes that were left out.
        told: variance of the logarithm, estimated from the differences between processes alone.
        told_freedom: degrees of freedom of that; 0 where there is one process.
    """

    interval: Interval
    p_value: float
    detectable: float
    rounds: int
    strays: int = 0
    told: float = 0.0
    told_freedom: float = 0.0


def seconds_of_rounds(timing: Timing) -> list[Values]:
    """Seconds a call, the value of each round, one array for each process."""
    return [_values_of_rounds(samples) / (samples.calls * 1e9) for samples in timing.processes]


def seconds_per_call(timing: Timing) -> Interval:
    """Median time of a call with its 99 % interval over rounds and processes."""
    return _interval(mean_of(list(_logarithms(timing).values())))


def first_calls(timing: Timing) -> Timing | None:
    """The first calls of all visits, as a timing of their own; None where they were not timed."""
    processes = tuple(
        Samples(each.process, 1, tuple((nanoseconds,) for nanoseconds in each.first_calls))
        for each in timing.processes
        if each.first_calls
    )
    return Timing(timing.timer, processes) if processes else None


def other_seconds(timing: Timing) -> float | None:
    """Median time of a call by the timer's other clock; None where it had none."""
    found = [
        nanoseconds / samples.calls
        for samples in timing.processes
        for nanoseconds in chain.from_iterable(samples.wall_rounds or samples.device_rounds)
    ]
    return float(np.median(found)) * 1e-9 if found else None


def ratio(numerator: Timing, denominator: Timing) -> Ratio | None:
    """Compare two cells by rounds.

    Rounds of the same process and number are paired: they were measured within milliseconds of each
    other, so that drift and other load cancel. None where the two share no process and round.
    """
    differences = list(_paired(numerator, denominator).values())
    if not differences:
        return None
    return _ratio(mean_of(differences), sum(len(values) for values in differences))


def unpaired_ratio(numerator: Timing, denominator: Timing) -> Ratio:
    """Compare cells of two runs, of which no rounds were measured at the same time.

    The interval covers what processes of a run differ by; it cannot know what changed between runs.
    """
    above, below = _logarithms(numerator), _logarithms(denominator)
    rounds = min(sum(map(len, above.values())), sum(map(len, below.values())))
    return _ratio(mean_of(list(above.values())).minus(mean_of(list(below.values()))), rounds)


def shared_ratio(pairs: Sequence[tuple[Timing, Timing]]) -> Ratio | None:
    """Compare many cells at once: the change that they share.

    Rounds pair as in `ratio`. What disturbs a process may disturb all cells that it measured, so
    cells are averaged within each process first, and only processes tell how well the mean is known.
    A cell weighs by the inverse of its variance, and none more than the median cell: of few processes,
    some cell looks surer than it is.

    Args:
        pairs: numerator and denominator of each cell.

    Returns:
        None where fewer than two processes have rounds of every cell.
    """
    paired = [_paired(*pair) for pair in pairs]
    common = set(paired[0]).intersection(*paired[1:]) if paired else set()
    if len(common) < FEWEST_SHARED:
        return None
    cells = [
        processes_of([own[process] for process in sorted(common)], keep_strays=True)
        for own in paired
    ]
    medians = np.stack([cell.medians for cell in cells])
    within = np.stack([cell.within for cell in cells])
    variances = np.maximum(medians.var(axis=1, ddof=1), within.mean(axis=1))
    weights = 1 / np.maximum(variances, max(float(np.median(variances)), TINY))
    shares = weights / weights.sum()
    rounds = sum(cell.rounds for cell in cells)
    means, known = (shares @ medians).tolist(), (shares**2 @ within).tolist()
    kept = not_stray(means, known)
    processes = Processes(
        [means[place] for place in kept],
        [known[place] for place in kept],
        rounds,
        len(means) - len(kept),
    )
    return _ratio(join(processes), rounds)


def stray_processes(timing: Timing) -> int:
    """Count the processes that a cell's time leaves out, being far off all others."""
    if len(timing.processes) < ENOUGH_TO_STRAY:
        return 0
    return mean_of(list(_logarithms(timing).values())).strays


def geometric_mean(intervals: Sequence[Interval]) -> Interval:
    """Geometric mean of ratios that were measured independently, with its 99 % interval.

    Where some intervals are open, those ratios are taken to be as uncertain as the least certain of
    the others; where all are, so is the mean's.
    """
    estimates = [math.log(each.estimate) for each in intervals]
    mean = sum(estimates) / len(estimates)
    known = [(math.log(each.high) - math.log(each.low)) / 2 for each in intervals if each.is_known]
    if not known:
        return Interval(math.exp(mean), 0.0, math.inf)
    half_widths = known + [max(known)] * (len(intervals) - len(known))
    half_width = math.sqrt(sum(width**2 for width in half_widths)) / len(half_widths)
    return Interval(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width))


def _interval(mean: Mean) -> Interval:
    """The interval of what a logarithm was taken of."""
    low, high = mean.value - mean.half_width, mean.value + mean.half_width
    return Interval(math.exp(mean.value), math.exp(low), math.exp(high))


def _ratio(mean: Mean, rounds: int) -> Ratio:
    """Make a ratio of an estimated logarithm."""
    spread = mean.half_width / quantile(math.inf)
    beyond = (abs(mean.value) - DEAD_BAND) / max(spread, TINY)
    return Ratio(
        _interval(mean),
        p_value=min(1.0, math.erfc(beyond / math.sqrt(2))),
        detectable=math.expm1(mean.half_width + POWER_QUANTILE * spread + DEAD_BAND),
        rounds=rounds,
        strays=mean.strays,
        told=mean.told,
        told_freedom=mean.told_freedom,
    )


def _paired(numerator: Timing, denominator: Timing) -> dict[int, Values]:
    """Log-ratios of the rounds that both have, by process."""
    above, below = _logarithms(numerator), _logarithms(denominator)
    paired = {}
    for process, values in above.items():
        other = below.get(process)
        if other is not None:
            count = min(len(values), len(other))
            paired[process] = values[:count] - other[:count]
    return paired


@lru_cache(maxsize=64)
def _logarithms(timing: Timing) -> dict[int, Values]:
    """Logarithms of the rounds' values by process; kept, since a baseline is compared with many."""
    medians = zip(timing.processes, seconds_of_rounds(timing), strict=True)
    return {samples.process: np.log(values) for samples, values in medians}


def _values_of_rounds(samples: Samples) -> Values:
    """Nanoseconds of each round."""
    rounds = samples.rounds
    if samples.is_coarse or len(set(map(len, rounds))) > 1:
        return np.array([value_of_round(each, is_coarse=samples.is_coarse) for each in rounds])
    length = len(rounds[0])
    table = np.fromiter(
        chain.from_iterable(rounds), dtype=np.float64, count=length * len(rounds)
    ).reshape(len(rounds), length)
    table.sort(axis=1)
    return np.asarray((table[:, (length - 1) // 2] + table[:, length // 2]) / 2)
