"""One mean from rounds within processes: a median of each, joined as random effects."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

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


@dataclass(frozen=True)
class Mean:
    """A mean over processes of medians over rounds.

    Attributes:
        value: the mean.
        variance: of it.
        freedom: how many degrees of freedom that variance is known with.
        strays: number of processes that were left out.
        told: another estimate of the variance, from the differences between processes alone, but no
            less than rounds explain; many means are judged together by it (see `moderation`).
        told_freedom: degrees of freedom of that; 0 where there is one process.
    """

    value: float
    variance: float
    freedom: float
    strays: int = 0
    told: float = 0.0
    told_freedom: float = 0.0

    @property
    def half_width(self) -> float:
        """Of the interval, by Student's distribution."""
        return quantile(self.freedom) * math.sqrt(self.variance)

    def minus(self, other: "Mean") -> "Mean":
        """The difference of two that were measured independently (Welch 1947)."""
        value, strays = self.value - other.value, self.strays + other.strays
        variance = self.variance + other.variance
        if math.isinf(variance):
            return Mean(value, variance, math.inf, strays)
        freedom = _joint_freedom(self.variance, self.freedom, other.variance, other.freedom)
        if not self.told_freedom or not other.told_freedom:
            return Mean(value, variance, freedom, strays)
        told_freedom = _joint_freedom(self.told, self.told_freedom, other.told, other.told_freedom)
        return Mean(value, variance, freedom, strays, self.told + other.told, told_freedom)


def _joint_freedom(first: float, of_first: float, second: float, of_second: float) -> float:
    """Degrees of freedom of the sum of two variances (Satterthwaite 1946)."""
    uncertainty = first**2 / of_first + second**2 / of_second
    return (first + second) ** 2 / uncertainty if uncertainty > 0 else math.inf


@dataclass(frozen=True)
class Processes:
    """What rounds say of each process: the median, and its variance as far as rounds explain it.

    Processes that went astray are left out of the lists; `strays` is their number.
    """

    medians: list[float]
    within: list[float]
    rounds: int
    strays: int = 0


def processes_of(groups: list[Values], *, keep_strays: bool = False) -> Processes:
    """Reduce rounds to one value a process; processes that went astray are left out by default.

    A few rounds may seem to spread less than they do: each process is given at least the spread that
    all of them have on average.
    """
    ascending = [np.sort(values) for values in groups]
    medians = [
        float(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 for values in ascending
    ]
    own = [_variance_of_median(values) for values in ascending]
    kept = range(len(medians)) if keep_strays else not_stray(medians, own)
    counts = [len(ascending[place]) for place in kept]
    told = _dot(counts, [own[place] for place in kept]) / len(counts)
    within = [max(own[place], told / count) for place, count in zip(kept, counts, strict=True)]
    chosen = [medians[place] for place in kept]
    return Processes(chosen, within, sum(counts), len(medians) - len(chosen))


def mean_of(groups: list[Values]) -> Mean:
    """Mean over processes of medians over rounds."""
    return join(processes_of(groups))


def join(processes: Processes) -> Mean:
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
        return Mean(medians[0], math.inf, math.inf)
    of_rounds = max(1, processes.rounds - len(medians))
    if len(medians) == 1:
        return Mean(medians[0], within[0], of_rounds)
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
    told = max(from_rounds, float(np.var(medians, ddof=1)) / len(medians)), len(medians) - 1
    return max(
        Mean(value, variance, freedom, strays, *told),
        Mean(value, from_rounds + at_worst, math.inf, strays, *told),
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


def not_stray(medians: list[float], own: list[float]) -> list[int]:
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


@lru_cache(maxsize=4096)
def quantile(freedom: float) -> float:
    """End of a two-sided interval of Student's distribution, or of the normal one."""
    tail = (1 + CONFIDENCE) / 2
    finite = math.isfinite(freedom)
    return float(special.stdtrit(freedom, tail) if finite else special.ndtri(tail))
