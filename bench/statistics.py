"""Intervals and verdicts from rounds: paired log-ratios, bootstrapped over rounds and processes."""

import math
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
Indices = NDArray[np.intp]
CONFIDENCE = 0.99
RESAMPLES = 1000
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
    """An estimate with its 99 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long one cell takes as another.

    Attributes:
        interval: of the ratio; below 1 is faster.
        p_value: two-sided, for the ratio lying outside of the dead band; from the bootstrap's
            spread, taken as normal, because a correction for 1,000 cells needs tails that no
            resampling has.
        detectable: the smallest relative change that this measurement could have told from none.
        rounds: number of paired rounds, over all processes.
    """

    interval: Interval
    p_value: float
    detectable: float
    rounds: int


def round_medians(timing: Timing) -> list[Values]:
    """Seconds a call, the median of each round, one array for each process."""
    return [_medians_of_rounds(samples) / (samples.calls * 1e9) for samples in timing.processes]


def seconds_per_call(timing: Timing) -> Interval:
    """Median time of a call with its 99 % bootstrap interval over rounds and processes."""
    logarithms = [np.log(values) for values in round_medians(timing)]
    estimate = _statistic(logarithms)
    low, high = _percentiles(_bootstrap(logarithms, estimate))
    return Interval(float(np.exp(estimate)), float(np.exp(low)), float(np.exp(high)))


def ratio(numerator: Timing, denominator: Timing) -> Ratio | None:
    """Compare two cells by rounds.

    Rounds of the same process and number are paired: they were measured within milliseconds of each
    other, so that drift and other load cancel. None where the two share no process and round.
    """
    differences = _paired(numerator, denominator)
    if not differences:
        return None
    estimate = _statistic(differences)
    resampled = _bootstrap(differences, estimate)
    low, high = _percentiles(resampled)
    half_width = (high - low) / 2
    beyond = (abs(estimate) - DEAD_BAND) / max(float(resampled.std()), 1e-12)
    return Ratio(
        Interval(float(np.exp(estimate)), float(np.exp(low)), float(np.exp(high))),
        p_value=min(1.0, math.erfc(beyond / math.sqrt(2))),
        detectable=float(np.expm1(half_width + DEAD_BAND)),
        rounds=sum(len(values) for values in differences),
    )


def verdict(compared: Ratio | None, p_value: float | None = None) -> Verdict:
    """Judge a ratio of new to old.

    faster, slower: the whole interval, and the corrected p-value where one is given, lie beyond the
    dead band. same: otherwise, where the interval rules out a change as large as the resolution.
    ambiguous: the run was too short or too noisy to say either.
    """
    if compared is None:
        return Verdict.MISSING
    low, high = np.log(compared.interval.low), np.log(compared.interval.high)
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


def _paired(numerator: Timing, denominator: Timing) -> list[Values]:
    """Log-ratios of the rounds that both have, one array for each process."""
    below = {
        samples.process: values
        for samples, values in zip(denominator.processes, round_medians(denominator), strict=True)
    }
    paired = []
    for samples, values in zip(numerator.processes, round_medians(numerator), strict=True):
        other = below.get(samples.process)
        if other is not None:
            count = min(len(values), len(other))
            paired.append(np.log(values[:count] / other[:count]))
    return paired


def _medians_of_rounds(samples: Samples) -> Values:
    """Median duration of each round, in nanoseconds."""
    rounds = samples.rounds
    length = len(rounds[0])
    if any(len(durations) != length for durations in rounds):
        return np.array([np.median(durations) for durations in rounds])
    table = np.fromiter(
        chain.from_iterable(rounds), dtype=np.float64, count=length * len(rounds)
    ).reshape(len(rounds), length)
    table.sort(axis=1)
    return np.asarray((table[:, (length - 1) // 2] + table[:, length // 2]) / 2)


def _statistic(groups: list[Values]) -> float:
    """Mean over processes of the median over rounds."""
    return float(np.mean([np.median(values) for values in groups]))


def _bootstrap(groups: list[Values], estimate: float) -> Values:
    """Resample processes, then rounds within each; deterministic."""
    drawn, chosen = _draws(tuple(len(values) for values in groups))
    medians = np.empty((len(groups), RESAMPLES))
    for row, values, (lower, upper) in zip(medians, groups, drawn, strict=True):
        ascending = np.sort(values)
        row[:] = (ascending[lower] + ascending[upper]) / 2
    resampled = np.take_along_axis(medians, chosen, axis=0).mean(axis=0)
    return np.asarray(estimate + (resampled - estimate) * _widening(groups, medians))


@lru_cache(maxsize=64)
def _draws(sizes: tuple[int, ...]) -> tuple[list[tuple[Indices, Indices]], Indices]:
    """Draw the ranks of the two middle values of every resample of each process, and processes.

    A resample of n values picks ranks floor(n u) for n uniform u, so that its middle values have
    the ranks floor(n u') for the middle order statistics u' of n uniform numbers, which are drawn
    here directly: the same distribution as sorting every resample, at a cost free of n.
    """
    generator = np.random.default_rng(0)
    ranks = []
    for size in sizes:
        middle = (size + 1) // 2
        low = generator.beta(middle, size - middle + 1, RESAMPLES)
        high = low
        if size % 2 == 0:
            high = 1 - (1 - low) * generator.random(RESAMPLES) ** (1 / (size - middle))
        lower, upper = (
            np.minimum((size * uniform).astype(np.intp), size - 1) for uniform in (low, high)
        )
        ranks.append((lower, upper))
    chosen = generator.integers(len(sizes), size=(len(sizes), RESAMPLES))
    return ranks, chosen


def _widening(groups: list[Values], medians: Values) -> float:
    """By how much a bootstrap of few processes understates the 99 % interval.

    Resampling n processes understates their spread by (n - 1) / n, and percentiles take it for
    known, where n processes give it n - 1 degrees of freedom only: the quantile of Student's
    distribution takes the place of the normal one, at the degrees of freedom that Satterthwaite
    (1946) gives to the sum of what processes and what rounds contribute. One process says nothing
    about others: nothing is widened.
    """
    count = len(groups)
    if count == 1:
        return 1.0
    between = np.var([np.median(values) for values in groups], ddof=1) / count
    within = medians.var(axis=1).mean() / (count - 1)
    rounds = max(1, sum(len(values) for values in groups) - count)
    uncertainty = between**2 / (count - 1) + within**2 / rounds
    freedom = (between + within) ** 2 / uncertainty if uncertainty > 0 else np.inf
    tail = (1 + CONFIDENCE) / 2
    few_processes = special.stdtrit(freedom, tail) / special.ndtri(tail)
    return float(few_processes * np.sqrt(count / (count - 1)))


def _percentiles(resampled: Values) -> tuple[float, float]:
    ascending = np.sort(resampled)
    tail = (1 - CONFIDENCE) / 2
    places = np.array([tail, 1 - tail]) * (len(ascending) - 1)
    low, high = np.interp(places, np.arange(len(ascending)), ascending)
    return float(low), float(high)
