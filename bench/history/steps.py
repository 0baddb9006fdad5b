"""Where a series of times stepped up or down: change points by ruptures, then judged one by one.

Candidates come from ruptures' exact search for changes of the mean (kernel change points with a linear
kernel, penalised as BIC does). The weakest is given up until Student's test tells the two sides of each
apart beyond the dead band, corrected for every place where the step might have been; and, among all
series, so that at most 1 % of what is reported is expected to be false (Benjamini and Hochberg 1995).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import ruptures
from scipy import special, stats

from bench.statistics.intervals import DEAD_BAND, Interval
from bench.statistics.random_effects import CONFIDENCE, NORMAL_MEDIAN, Values

FEWEST_RUNS = 4
"""Below that, nothing can be said of a series."""
SHORTEST = 2
"""Runs on either side of a step: one slow night is none."""
PENALTY = 3.0
"""Of a change point, in units of the noise's variance and the logarithm of the number of runs."""
OUTLIER = 4.0
"""A single run that lies so many standard deviations off both its neighbours and off the median of the
five runs around it does not count."""
LEAST_NOISE = 1e-3
MOST_OWN = 0.25
"""Part of a ratio's step from which on it is told as the cell's, however noisy the baseline is."""
SURELY_OWN = 0.1
"""The same where the part is at least that by the 99 % interval of the baseline's step."""
BLOCK = 125
"""Runs that are searched at a time."""


@dataclass(frozen=True)
class Step:
    """A lasting change of one series.

    Attributes:
        at: place of the first run after it.
        size: time after over time before, with its 99 % interval.
        p_value: for a change within the dead band, corrected for the places it might have been at.
        of_baseline: whether a ratio stepped because the baseline did, and not the cell.
    """

    at: int
    size: Interval
    p_value: float
    of_baseline: bool = False

    @property
    def is_slower(self) -> bool:
        """Whether times, or their ratio, went up."""
        return self.size.estimate > 1

    @property
    def kind(self) -> str:
        """Whose step it is, or its direction: `baseline`, `slower` or `faster`."""
        return "baseline" if self.of_baseline else "slower" if self.is_slower else "faster"


def find_steps(times: Sequence[float]) -> list[Step]:
    """Find the steps of one series of positive times, in the order of its runs.

    Each holds by itself; `significant` judges them beside all others.
    """
    if len(times) < FEWEST_RUNS:
        return []
    values = np.log(np.asarray(times, dtype=np.float64))
    noise = _noise(values)
    cleaned = _without_outliers(values, noise)
    places = _change_points(cleaned, noise)
    while places:
        p_values = _changes(cleaned, places, noise).p_values
        weakest = int(p_values.argmax())
        if p_values[weakest] <= 1 - CONFIDENCE:
            lengths = np.diff([0, *places, len(cleaned)])
            if lengths.min() >= SHORTEST:
                places = _refined(cleaned, places)
                return _changes(cleaned, places, noise).steps(places)
            weakest = min(int(lengths.argmin()), len(places) - 1)
        # Its two sides are one level: what they are told from may gain by it.
        del places[weakest]
    return []


def significant(found: Sequence[Sequence[Step]]) -> list[list[Step]]:
    """Keep the steps that hold among many series, those in which none was found included."""
    flat = [step.p_value for steps in found for step in steps]
    if not flat:
        return [[] for _ in found]
    without = [1.0 for steps in found if not steps]
    kept = iter(stats.false_discovery_control(flat + without) <= 1 - CONFIDENCE)
    return [[step for step in steps if next(kept)] for steps in found]


def attributed(steps: Sequence[Step], baseline: Sequence[float]) -> list[Step]:
    """Mark those steps of ratios to a baseline that are the baseline's, of these times."""
    found = {step.at: step.size for step in find_steps(baseline)} if steps else {}
    return [
        replace(step, of_baseline=step.at in found and _is_of_baseline(step.size, found[step.at]))
        for step in steps
    ]


def _is_of_baseline(ratio: Interval, baseline: Interval) -> bool:
    """Whether a ratio stepped because of the baseline's step, and not because of the cell's own.

    The rest is the cell's own part. Below -1 the cell went more than half the baseline's way: then the
    machine changed, and the ratio says what the cell did.
    """
    total = math.log(ratio.estimate)
    own = 1 + math.log(baseline.estimate) / total
    least = 1 + min(math.log(baseline.low) / total, math.log(baseline.high) / total)
    return -1 < own < MOST_OWN and least < SURELY_OWN


def levels(times: Sequence[float], steps: Sequence[Step]) -> list[tuple[int, int, float]]:
    """Return first place, place after the last, and median of what lies between steps."""
    bounds = [0, *(step.at for step in steps), len(times)]
    values = np.log(np.asarray(times, dtype=np.float64))
    return [
        (start, end, float(np.exp(np.median(values[start:end])))) for start, end in pairwise(bounds)
    ]


def _noise(values: Values) -> float:
    """Standard deviation from run to run, untouched by steps and single outliers."""
    jumps = np.abs(np.diff(values))
    return max(float(np.median(jumps)) / (NORMAL_MEDIAN * math.sqrt(2)), LEAST_NOISE)


def _without_outliers(values: Values, noise: float) -> Values:
    """Replace what stands alone by the median of five around it (Hampel 1974).

    It lies off that median, where a good night between two slow ones does not, and off both its
    neighbours, where two slow nights in a row do not.
    """
    padded = np.concatenate([values[2:0:-1], values, values[-2:-4:-1]])
    around = np.lib.stride_tricks.sliding_window_view(padded, 5)
    others = np.column_stack([np.median(around, axis=1), around[:, 1], around[:, 3]])
    alone = np.abs(values[:, np.newaxis] - others).min(axis=1) > OUTLIER * noise
    return np.where(alone, others[:, 0], values)


def _change_points(values: Values, noise: float) -> list[int]:
    """Places where a new level may begin: what the search finds in each block, and where blocks meet.

    The search takes time with the square of the runs, so it is made block by block; blocks of one
    level are joined when the weakest steps are given up.
    """
    penalty = PENALTY * math.log(len(values))
    places: list[int] = []
    start = 0
    for block in np.array_split(values / noise, -(-len(values) // BLOCK)):
        search = ruptures.KernelCPD(kernel="linear", min_size=1)  # a block may end in a level
        search.fit(block[:, np.newaxis])
        places += [start] if start else []
        places += [start + int(end) for end in search.predict(pen=penalty)[:-1]]
        start += len(block)
    return places


def _refined(values: Values, places: list[int]) -> list[int]:
    """Move each place by up to `SHORTEST` runs to where its two sides spread least."""
    bounds = [0, *places, len(values)]
    for number in range(1, len(bounds) - 1):
        before, place, after = bounds[number - 1 : number + 2]
        low = max(before + SHORTEST, place - SHORTEST)
        high = min(after - SHORTEST, place + SHORTEST)
        bounds[number] = min(
            range(low, high + 1),
            key=lambda at, start=before, end=after: (  # type: ignore[misc]
                values[start:at].var() * (at - start) + values[at:end].var() * (end - at)
            ),
        )
    return bounds[1:-1]


@dataclass(frozen=True)
class _Changes:
    """What happens at each of some places: change of the mean logarithm, half-width, p-value."""

    sizes: Values
    half_widths: Values
    p_values: Values

    def steps(self, places: list[int]) -> list[Step]:
        """The same as steps."""
        bounds = np.exp([self.sizes, self.sizes - self.half_widths, self.sizes + self.half_widths])
        return [
            Step(at, Interval(*size), p_value)
            for at, size, p_value in zip(
                places, bounds.T.tolist(), self.p_values.tolist(), strict=True
            )
        ]


def _changes(values: Values, places: list[int], noise: float) -> _Changes:
    """The changes at these places, judged by what is left of noise between all of them."""
    starts = np.array([0, *places])
    lengths = np.diff(starts, append=len(values))
    means = np.add.reduceat(values, starts) / lengths
    freedom = max(1, len(values) - len(starts))
    residuals = values - np.repeat(means, lengths)
    spread = max(math.sqrt(float(residuals @ residuals) / freedom), noise)
    sizes = np.diff(means)
    errors = spread * np.sqrt(1 / lengths[:-1] + 1 / lengths[1:])
    # Of Student's distribution, as scipy.stats says it in 50 times as long.
    half_widths = special.stdtrit(freedom, (1 + CONFIDENCE) / 2) * errors
    p_values = 2 * special.stdtr(freedom, np.minimum(0, DEAD_BAND - np.abs(sizes)) / errors)
    return _Changes(sizes, half_widths, np.minimum(1, p_values * (len(values) - 1)))
