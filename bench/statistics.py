"""Intervals and verdicts from rounds: paired log-ratios, bootstrapped over rounds and processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

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
    estimate, resampled = _bootstrap(list(_logarithms(timing).values()))
    low, high = _percentiles(resampled)
    return Interval(math.exp(estimate), math.exp(low), math.exp(high))


def ratio(numerator: Timing, denominator: Timing) -> Ratio | None:
    """Compare two cells by rounds.

    Rounds of the same process and number are paired: they were measured within milliseconds of each
    other, so that drift and other load cancel. None where the two share no process and round.
    """
    differences = _paired(numerator, denominator)
    if not differences:
        return None
    return _ratio(*_bootstrap(differences), sum(len(values) for values in differences))


def unpaired_ratio(numerator: Timing, denominator: Timing) -> Ratio:
    """Compare cells of two runs, of which no rounds were measured at the same time.

    The interval covers what processes of a run differ by; it cannot know what changed between runs.
    """
    above, below = _logarithms(numerator), _logarithms(denominator)
    estimate, resampled = _bootstrap(list(above.values()))
    other, others = _bootstrap(list(below.values()), seed=1)
    rounds = min(sum(map(len, above.values())), sum(map(len, below.values())))
    return _ratio(estimate - other, resampled - others, rounds)


def geometric_mean(intervals: Sequence[Interval]) -> Interval:
    """Geometric mean of ratios that were measured independently, with its 99 % interval."""
    estimates = [math.log(each.estimate) for each in intervals]
    half_widths = [(math.log(each.high) - math.log(each.low)) / 2 for each in intervals]
    mean = sum(estimates) / len(estimates)
    half_width = math.sqrt(sum(width**2 for width in half_widths)) / len(half_widths)
    return Interval(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width))


def _ratio(estimate: float, resampled: Values, rounds: int) -> Ratio:
    """Make a ratio of an estimated logarithm and its resamples."""
    low, high = _percentiles(resampled)
    half_width = (high - low) / 2
    beyond = (abs(estimate) - DEAD_BAND) / max(math.sqrt(_variance(resampled)), 1e-12)
    return Ratio(
        Interval(math.exp(estimate), math.exp(low), math.exp(high)),
        p_value=min(1.0, math.erfc(beyond / math.sqrt(2))),
        detectable=math.expm1(half_width + DEAD_BAND),
        rounds=rounds,
    )


def verdict(compared: Ratio | None, p_value: float | None = None) -> Verdict:
    """Judge a ratio of new to old.

    faster, slower: the whole interval, and the corrected p-value where one is given, lie beyond the
    dead band. same: otherwise, where the interval rules out a change as large as the resolution.
    ambiguous: the run was too short or too noisy to say either.
    """
    if compared is None:
        return Verdict.MISSING
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


def _paired(numerator: Timing, denominator: Timing) -> list[Values]:
    """Log-ratios of the rounds that both have, one array for each process."""
    above, below = _logarithms(numerator), _logarithms(denominator)
    paired = []
    for process, values in above.items():
        other = below.get(process)
        if other is not None:
            count = min(len(values), len(other))
            paired.append(values[:count] - other[:count])
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


def _bootstrap(groups: list[Values], seed: int = 0) -> tuple[float, Values]:
    """Return the mean over processes of the median over rounds, and resamples of it.

    Processes are resampled, then rounds within each; deterministic.
    """
    count = len(groups)
    draws = _draws(tuple(len(values) for values in groups), seed)
    ascending = np.concatenate([np.sort(values) for values in groups])
    medians = (ascending[draws.middle_low] + ascending[draws.middle_high]) / 2
    resampled = (ascending[draws.low] + ascending[draws.high]) / 2
    estimate = float(medians.sum() / count)
    means = resampled.ravel()[draws.processes].sum(axis=0) / count
    widening = _widening(medians, resampled, len(ascending))
    return estimate, estimate + (means - estimate) * widening


class _Draws(NamedTuple):
    """Random choices, as places in the joined, sorted values of all processes.

    Attributes:
        middle_low, middle_high: `[P]`, the two middle values of each process as measured.
        low, high: `[P, RESAMPLES]`, the two middle values of each resample of each process.
        processes: `[P, RESAMPLES]`, which resampled medians make up each resample, as places in the
            flattened table of them.
    """

    middle_low: Indices
    middle_high: Indices
    low: Indices
    high: Indices
    processes: Indices


@lru_cache(maxsize=64)
def _draws(sizes: tuple[int, ...], seed: int) -> _Draws:
    """Draw for processes with these numbers of rounds.

    A resample of n values picks ranks floor(n u) for n uniform u, so that its middle values have
    the ranks floor(n u') for the middle order statistics u' of n uniform numbers, which are drawn
    here directly: the same distribution as sorting every resample, at a cost free of n.
    """
    generator = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes[:-1]])
    lows, highs = [], []
    for start, size in zip(starts, sizes, strict=True):
        middle = (size + 1) // 2
        low = generator.beta(middle, size - middle + 1, RESAMPLES)
        high = low
        if size % 2 == 0:
            high = 1 - (1 - low) * generator.random(RESAMPLES) ** (1 / (size - middle))
        lows.append(start + np.minimum((size * low).astype(np.intp), size - 1))
        highs.append(start + np.minimum((size * high).astype(np.intp), size - 1))
    processes = generator.integers(len(sizes), size=(len(sizes), RESAMPLES))
    rounds = np.array(sizes)
    return _Draws(
        starts + (rounds - 1) // 2,
        starts + rounds // 2,
        np.stack(lows),
        np.stack(highs),
        processes * RESAMPLES + np.arange(RESAMPLES),
    )


def _widening(medians: Values, resampled: Values, rounds: int) -> float:
    """By how much a bootstrap of few processes misstates the 99 % interval.

    The variance of a mean over n processes has two parts: what rounds contribute, which every
    process's own bootstrap tells, and what processes differ by beyond that, known with n - 1 degrees
    of freedom only. The interval gets the sum of both, and the quantile of Student's distribution
    at the degrees of freedom that Satterthwaite (1946) gives to the sum. One process says nothing
    about others: nothing is widened.
    """
    count = len(medians)
    if count == 1:
        return 1.0
    of_medians = _variance(medians) * count / (count - 1)
    within = _variance(resampled)
    between = max(0.0, of_medians - within)
    uncertainty = between**2 / (count - 1) + within**2 / max(1, rounds - count)
    if uncertainty == 0:
        return 1.0
    freedom = (between + within) ** 2 / uncertainty
    tail = (1 + CONFIDENCE) / 2
    few_processes = special.stdtrit(freedom, tail) / special.ndtri(tail)
    of_bootstrap = _variance(medians) + within
    return float(few_processes) * math.sqrt((between + within) / of_bootstrap)


def _variance(values: Values) -> float:
    """Variance along the last axis, averaged over the others."""
    deviations = values - values.sum(axis=-1, keepdims=True) / values.shape[-1]
    return float(np.vdot(deviations, deviations)) / values.size


def _percentiles(resampled: Values) -> tuple[float, float]:
    """The two ends of the interval, between neighbours in order."""
    ascending = np.sort(resampled)
    tail = (1 - CONFIDENCE) / 2 * (len(ascending) - 1)
    place, share = int(tail), tail % 1
    low, high = ascending[place : place + 2], ascending[-2 - place : len(ascending) - place]
    return (
        float(low[0] + share * (low[1] - low[0])),
        float(high[1] - share * (high[1] - high[0])),
    )
