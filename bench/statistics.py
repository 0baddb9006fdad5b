"""Intervals and verdicts from rounds: paired log-ratios, rounds within processes as random effects."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.results.schema import Samples, Timing

Values = NDArray[np.float64]
CONFIDENCE = 0.99
NORMAL_MEDIAN = 0.6745
"""Median absolute deviation of a normal distribution of standard deviation 1."""
TINY = 1e-24
"""A variance that stands for none."""
LUCK = 0.3
"""How often processes may happen to be more alike than they are, before an interval allows for it."""
STRAY = 6.0
"""A process whose median lies so many robust standard deviations off is left out,"""
ENOUGH_TO_STRAY = 8
"""where there are so many that this is known well."""
FEWEST_SHARED = 2
"""Processes that must have measured all cells, for what they share to be known."""
DEAD_BAND = 0.01
"""Relative changes within this band are not worth a verdict."""
RESOLUTION = 0.05
"""The change that the project promises to find: "same" means that one as large is ruled out."""


class Verdict(StrEnum):
    """How a cell compares with another."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"


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


@dataclass(frozen=True)
class Ratio:
    """How many times as long one cell takes as another.

    Attributes:
        interval: of the ratio; below 1 is faster.
        p_value: two-sided, for the ratio lying outside of the dead band; from the normal distribution
            that has the same interval, because a correction for 1,000 cells needs tails that a few
            degrees of freedom have no end of.
        detectable: the smallest relative change that this measurement could have told from none;
            infinite where the interval is open.
        rounds: number of paired rounds, over all processes.
        strays: number of processes that were left out.
    """

    interval: Interval
    p_value: float
    detectable: float
    rounds: int
    strays: int = 0


def round_medians(timing: Timing) -> list[Values]:
    """Seconds a call, the median of each round, one array for each process."""
    return [_medians_of_rounds(samples) / (samples.calls * 1e9) for samples in timing.processes]


def seconds_per_call(timing: Timing) -> Interval:
    """Median time of a call with its 99 % interval over rounds and processes."""
    return _interval(_mean(list(_logarithms(timing).values())))


def ratio(numerator: Timing, denominator: Timing) -> Ratio | None:
    """Compare two cells by rounds.

    Rounds of the same process and number are paired: they were measured within milliseconds of each
    other, so that drift and other load cancel. None where the two share no process and round.
    """
    differences = list(_paired(numerator, denominator).values())
    if not differences:
        return None
    return _ratio(_mean(differences), sum(len(values) for values in differences))


def unpaired_ratio(numerator: Timing, denominator: Timing) -> Ratio:
    """Compare cells of two runs, of which no rounds were measured at the same time.

    The interval covers what processes of a run differ by; it cannot know what changed between runs.
    """
    above, below = _logarithms(numerator), _logarithms(denominator)
    rounds = min(sum(map(len, above.values())), sum(map(len, below.values())))
    return _ratio(_mean(list(above.values())).minus(_mean(list(below.values()))), rounds)


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
        _processes([own[process] for process in sorted(common)], strays=True) for own in paired
    ]
    medians = np.stack([cell.medians for cell in cells])
    within = np.stack([cell.within for cell in cells])
    variances = np.maximum(medians.var(axis=1, ddof=1), within.mean(axis=1))
    weights = 1 / np.maximum(variances, max(float(np.median(variances)), TINY))
    shares = weights / weights.sum()
    rounds = sum(cell.rounds for cell in cells)
    means, known = (shares @ medians).tolist(), (shares**2 @ within).tolist()
    kept = _not_stray(means, known)
    processes = _Processes(
        [means[place] for place in kept],
        [known[place] for place in kept],
        rounds,
        len(means) - len(kept),
    )
    return _ratio(_join(processes), rounds)


def stray_processes(timing: Timing) -> int:
    """Count the processes that a cell's time leaves out, being far off all others."""
    if len(timing.processes) < ENOUGH_TO_STRAY:
        return 0
    return _mean(list(_logarithms(timing).values())).strays


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


@dataclass(frozen=True)
class _Mean:
    """A mean over processes of medians over rounds.

    Attributes:
        value: the mean.
        variance: of it.
        freedom: how many degrees of freedom that variance is known with.
        strays: number of processes that were left out.
    """

    value: float
    variance: float
    freedom: float
    strays: int = 0

    @property
    def half_width(self) -> float:
        """Of the interval, by Student's distribution."""
        return _quantile(self.freedom) * math.sqrt(self.variance)

    def minus(self, other: "_Mean") -> "_Mean":
        """The difference of two that were measured independently (Welch 1947)."""
        variance = self.variance + other.variance
        if math.isinf(variance):
            return _Mean(self.value - other.value, variance, math.inf, self.strays + other.strays)
        uncertainty = self.variance**2 / self.freedom + other.variance**2 / other.freedom
        freedom = variance**2 / uncertainty if uncertainty > 0 else math.inf
        return _Mean(self.value - other.value, variance, freedom, self.strays + other.strays)


@lru_cache(maxsize=4096)
def _quantile(freedom: float) -> float:
    """End of a two-sided interval of Student's distribution, or of the normal one."""
    tail = (1 + CONFIDENCE) / 2
    finite = math.isfinite(freedom)
    return float(special.stdtrit(freedom, tail) if finite else special.ndtri(tail))


def _interval(mean: _Mean) -> Interval:
    """The interval of what a logarithm was taken of."""
    low, high = mean.value - mean.half_width, mean.value + mean.half_width
    return Interval(math.exp(mean.value), math.exp(low), math.exp(high))


def _ratio(mean: _Mean, rounds: int) -> Ratio:
    """Make a ratio of an estimated logarithm."""
    spread = mean.half_width / _quantile(math.inf)
    beyond = (abs(mean.value) - DEAD_BAND) / max(spread, TINY)
    return Ratio(
        _interval(mean),
        p_value=min(1.0, math.erfc(beyond / math.sqrt(2))),
        detectable=math.expm1(mean.half_width + DEAD_BAND),
        rounds=rounds,
        strays=mean.strays,
    )


def verdict(compared: Ratio | None, p_value: float | None = None) -> Verdict:
    """Judge a ratio of new to old.

    faster, slower: the whole interval, and the corrected p-value where one is given, lie beyond the
    dead band. same: otherwise, where the interval rules out a change as large as the resolution.
    ambiguous: the run was too short or too noisy to say either, or had a single round.
    """
    if compared is None:
        return Verdict.MISSING
    if not compared.interval.is_known:
        return Verdict.AMBIGUOUS
    low, high = math.log(compared.interval.low), math.log(compared.interval.high)
    significant = p_value is None or p_value <= 1 - CONFIDENCE
    if low > DEAD_BAND and significant:
        return Verdict.SLOWER
    if high < -DEAD_BAND and significant:
        return Verdict.FASTER
    if low > -RESOLUTION and high < RESOLUTION:
        return Verdict.SAME
    return Verdict.AMBIGUOUS


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons made (Holm 1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return [float(value) for value in corrected]


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
    """Logarithms of the round medians by process; kept, since a baseline is compared with many."""
    medians = zip(timing.processes, round_medians(timing), strict=True)
    return {samples.process: np.log(values) for samples, values in medians}


def _medians_of_rounds(samples: Samples) -> Values:
    """Median duration of each round, in nanoseconds."""
    rounds = samples.rounds
    if len(set(map(len, rounds))) > 1:
        return np.array([np.median(durations) for durations in rounds])
    length = len(rounds[0])
    table = np.fromiter(
        chain.from_iterable(rounds), dtype=np.float64, count=length * len(rounds)
    ).reshape(len(rounds), length)
    table.sort(axis=1)
    return np.asarray((table[:, (length - 1) // 2] + table[:, length // 2]) / 2)


@dataclass(frozen=True)
class _Processes:
    """What rounds say of each process: the median, and its variance as far as rounds explain it.

    Others, that went astray, are left out and counted.
    """

    medians: list[float]
    within: list[float]
    rounds: int
    strays: int = 0


def _processes(groups: list[Values], *, strays: bool = False) -> _Processes:
    """Reduce rounds to one value a process; leave out those that went astray unless they are wanted.

    Few rounds tell little of their own spread: what all tell is the least that each is credited with.
    """
    ascending = [np.sort(values) for values in groups]
    medians = [
        float(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 for values in ascending
    ]
    own = [_variance_of_median(values) for values in ascending]
    kept = range(len(medians)) if strays else _not_stray(medians, own)
    counts = [len(ascending[place]) for place in kept]
    told = _dot(counts, [own[place] for place in kept]) / len(counts)
    within = [max(own[place], told / count) for place, count in zip(kept, counts, strict=True)]
    chosen = [medians[place] for place in kept]
    return _Processes(chosen, within, sum(counts), len(medians) - len(chosen))


def _mean(groups: list[Values]) -> _Mean:
    """Mean over processes of medians over rounds."""
    return _join(_processes(groups))


def _join(processes: _Processes) -> _Mean:
    """Join the processes' medians over rounds as random effects.

    A process's median errs for two reasons: its rounds are few, of which they tell themselves, and
    processes differ, of which only the medians tell. Each weighs by the inverse of both together, so
    that one that was disturbed, or starved of rounds, counts for less. The variance between
    processes is estimated by moments, first with equal weights and then with these (DerSimonian and
    Kacker 2007). It is known with one degree of freedom less than there are processes, the other one
    by the number of rounds, and the sum with what Satterthwaite (1946) gives. Where moments find no
    variance between processes, there may be some nevertheless: no interval is narrower than with the
    largest that `LUCK` allows for. One process says nothing about others: its interval is of its rounds
    alone. A single round says nothing about others either: its variance is infinite.
    """
    medians, within, strays = processes.medians, processes.within, processes.strays
    if processes.rounds == 1:
        return _Mean(medians[0], math.inf, math.inf)
    of_rounds = max(1, processes.rounds - len(medians))
    if len(medians) == 1:
        return _Mean(medians[0], within[0], of_rounds)
    between = _between(medians, within, [1.0] * len(medians))
    between = _between(medians, within, [1 / max(between + each, TINY) for each in within])
    weights = [1 / max(between + each, TINY) for each in within]
    total = sum(weights)
    shares = [weight / total for weight in weights]
    squares = [share**2 for share in shares]
    value = _dot(shares, medians)
    from_rounds = _dot(squares, within)
    from_processes = between * sum(squares)
    variance = from_rounds + from_processes
    uncertainty = from_processes**2 / (len(medians) - 1) + from_rounds**2 / of_rounds
    freedom = variance**2 / uncertainty if uncertainty > 0 else of_rounds
    at_worst = _largest_between(medians, within) * sum(squares)
    return max(
        _Mean(value, variance, freedom, strays),
        _Mean(value, from_rounds + at_worst, math.inf, strays),
        key=lambda mean: mean.half_width,
    )


# Processes are few, and cells are many: plain numbers take a fifth of the time of arrays of three.
def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(map(operator.mul, left, right), 0.0)


def _between(medians: list[float], within: list[float], weights: list[float]) -> float:
    """Variance between processes beyond what rounds explain, by moments with given weights."""
    total = sum(weights)
    squares = [weight**2 for weight in weights]
    centre = _dot(weights, medians) / total
    explained = _dot(weights, within) - _dot(squares, within) / total
    found = _dot(weights, [(median - centre) ** 2 for median in medians]) - explained
    return max(0.0, found / (total - sum(squares) / total))


def _not_stray(medians: list[float], own: list[float]) -> list[int]:
    """Which processes count: of many, one far off all others was not measuring what they were.

    The scale is what makes the median deviation a standard deviation (Hampel 1974), and at least what
    rounds alone explain.
    """
    if len(medians) < ENOUGH_TO_STRAY:
        return list(range(len(medians)))
    deviations = np.abs(np.array(medians) - np.median(medians))
    scale = max(
        float(np.median(deviations)) / NORMAL_MEDIAN, math.sqrt(float(np.median(own))), TINY
    )
    return [int(place) for place in np.flatnonzero(deviations <= STRAY * scale)]


def _largest_between(medians: list[float], within: list[float]) -> float:
    """The variance between processes with which medians would be as alike in `LUCK` of all cases."""
    centre = sum(medians) / len(medians)
    squares = sum((median - centre) ** 2 for median in medians)
    return max(0.0, squares / _chance(len(medians) - 1) - sum(within) / len(within))


@lru_cache(maxsize=256)
def _chance(freedom: int) -> float:
    """What a sum of squares of that many degrees of freedom stays below in `LUCK` of all cases."""
    return float(special.chdtri(freedom, 1 - LUCK))


def _variance_of_median(ascending: Values) -> float:
    """Variance that a bootstrap would find for the median (Maritz and Jarrett 1978)."""
    weights = _order_weights(len(ascending))
    centred = ascending - ascending[len(ascending) // 2]
    return max(0.0, float(weights @ centred**2 - (weights @ centred) ** 2))


@lru_cache(maxsize=4096)
def _order_weights(count: int) -> Values:
    """Probability of each value, in order, to become the median of a resample."""
    middle = (count + 1) / 2
    return np.diff(special.betainc(middle, middle, np.arange(count + 1) / count))
