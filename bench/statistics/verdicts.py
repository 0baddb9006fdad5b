"""Verdicts on ratios: faster, same or slower, corrected for how many are judged together."""

import math
from collections.abc import Hashable, Sequence
from enum import StrEnum

import numpy as np

from bench.statistics.intervals import DEAD_BAND, Ratio
from bench.statistics.moderation import moderated
from bench.statistics.random_effects import CONFIDENCE

RESOLUTION = math.log1p(0.05)
"""Logarithm of the change that the project promises to find: "same" rules one as large out."""


class Verdict(StrEnum):
    """How a cell compares with another."""

    FASTER = "faster"
    SAME = "same"
    SLOWER = "slower"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"


def verdict(compared: Ratio, p_value: float) -> Verdict:
    """Judge a ratio of new to old.

    faster, slower: the whole interval lies beyond the dead band, and so does the corrected p-value.
    same: otherwise, where the interval rules out a change as large as the resolution. ambiguous: the
    run was too short or too noisy to say either, or had a single round.
    """
    if not compared.interval.is_known:
        return Verdict.AMBIGUOUS
    low, high = math.log(compared.interval.low), math.log(compared.interval.high)
    significant = p_value <= 1 - CONFIDENCE
    if low > DEAD_BAND and significant:
        return Verdict.SLOWER
    if high < -DEAD_BAND and significant:
        return Verdict.FASTER
    if low > -RESOLUTION and high < RESOLUTION:
        return Verdict.SAME
    return Verdict.AMBIGUOUS


def judged(compared: Sequence[tuple[Hashable, Ratio | None]]) -> list[Verdict]:
    """Verdicts on ratios that are shown together, each with its kind (see `corrected`)."""
    known = [(kind, found) for kind, found in compared if found is not None]
    p_values = iter(corrected([found for _, found in known], [kind for kind, _ in known]))
    return [
        Verdict.MISSING if found is None else verdict(found, next(p_values))
        for _, found in compared
    ]


def corrected(ratios: Sequence[Ratio], kinds: Sequence[Hashable] | None = None) -> list[float]:
    """p-values of ratios that are shown together, corrected for how many there are.

    A ratio's own p-value may be too small, as its few processes may be alike by luck. So where there
    are enough ratios, the noise of each is estimated from all of its kind (`moderation`), before the
    p-values are corrected for their number (`holm`).

    Args:
        ratios: of whatever kind.
        kinds: of each ratio; those of one kind, such as a phase, are taken to be about as noisy. By
            default all are of one kind.
    """
    kinds = kinds or [None] * len(ratios)
    p_values = [found.p_value for found in ratios]
    told = [place for place, found in enumerate(ratios) if found.told_freedom and found.told > 0]
    chosen = [ratios[place] for place in told]
    together = moderated(
        [max(0.0, abs(math.log(found.interval.estimate)) - DEAD_BAND) for found in chosen],
        [found.told for found in chosen],
        [found.told_freedom for found in chosen],
        [kinds[place] for place in told],
    )
    for place, p_value in zip(told, together or [], strict=False):
        p_values[place] = min(1.0, p_value)
    return holm(p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of comparisons made (Holm 1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return [float(value) for value in corrected]
