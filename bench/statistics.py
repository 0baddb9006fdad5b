"""Intervals and verdicts from rounds: paired log-ratios, bootstrapped over rounds and processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.results.schema import Timing

Values = NDArray[np.float64]
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
        p_value: two-sided, for the ratio lying outside of the dead band; from the bootstrap's spread,
            taken as normal, because a correction for 1,000 cells needs tails that no resampling has.
        detectable: the smallest relative change that this measurement could have told from none.
        rounds: number of paired rounds, over all processes.
    """

    interval: Interval
    p_value: float
    detectable: float
    rounds: int


def round_medians(timing: Timing) -> list[Values]:
    """Seconds a call, the median of each round, one array for each process."""
    return [
        np.array([np.median(durations) for durations in samples.rounds]) / samples.calls * 1e-9
        for samples in timing.processes
    ]


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
    beyond = (abs(estimate) - DEAD_BAND) / max(float(np.std(resampled)), 1e-12)
    return Ratio(
        Interval(float(np.exp(estimate)), float(np.exp(low)), float(np.exp(high))),
        p_value=float(min(1.0, 2 * stats.norm.sf(beyond))),
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
        for samples, values in zip(
            denominator.processes, round_medians(denominator), strict=True
        )
    }
    paired = []
    for samples, values in zip(numerator.processes, round_medians(numerator), strict=True):
        other = below.get(samples.process)
        if other is not None:
            count = min(len(values), len(other))
            paired.append(np.log(values[:count] / other[:count]))
    return paired


def _statistic(groups: list[Values]) -> float:
    """Mean over processes of the median over rounds."""
    return float(np.mean([np.median(values) for values in groups]))


def _bootstrap(groups: list[Values], estimate: float) -> Values:
    """Resample processes, then rounds within each; deterministic."""
    generator = np.random.default_rng(0)
    medians = np.stack(
        [
            np.median(values[generator.integers(len(values), size=(RESAMPLES, len(values)))], axis=1)
            for values in groups
        ]
    )
    count = len(groups)
    chosen = generator.integers(count, size=(RESAMPLES, count))
    resampled = np.take_along_axis(medians.T, chosen, axis=1).mean(axis=1)
    # Resampling n processes understates their spread by (n - 1) / n.
    if count > 1:
        resampled = estimate + (resampled - estimate) * np.sqrt(count / (count - 1))
    return np.asarray(resampled)


def _percentiles(resampled: Values) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
