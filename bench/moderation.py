"""What few processes cannot say of one comparison, all comparisons together can: moderated p-values.

Three processes tell a variance with two degrees of freedom: among hundreds of comparisons, some look
far surer than they are, and no correction for their number helps. So each variance is drawn towards
what all of them have in common, and gains the degrees of freedom that this is known with. How far is
told by how much the variances differ between comparisons beyond what chance makes of so few processes
(Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression").
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

Values = NDArray[np.float64]
FEWEST = 8
"""Comparisons that must be there for what they have in common to be known."""
STEPS = 50
TOLERANCE = 1e-8


def moderated(
    distances: Sequence[float], variances: Sequence[float], freedoms: Sequence[float]
) -> list[float] | None:
    """Two-sided p-values of comparisons that were made in one run.

    Args:
        distances: of each estimate beyond what it is tested against; not negative.
        variances: of each estimate, as its own processes tell it; positive.
        freedoms: degrees of freedom of each variance; at least 1.

    Returns:
        None where there are too few comparisons.
    """
    if len(distances) < FEWEST:
        return None
    own, freedom = np.asarray(variances), np.asarray(freedoms)
    common, prior = _common_variance(own, freedom)
    if np.isinf(prior):
        return [float(p) for p in 2 * special.ndtr(-np.asarray(distances) / np.sqrt(common))]
    drawn = (prior * common + freedom * own) / (prior + freedom)
    tails = special.stdtr(prior + freedom, -np.asarray(distances) / np.sqrt(drawn))
    return [float(p) for p in 2 * tails]


def _common_variance(variances: Values, freedom: Values) -> tuple[float, float]:
    """The variance that all have in common, and the degrees of freedom that it counts for."""
    half = freedom / 2
    logarithms = np.log(variances) - special.digamma(half) + np.log(half)
    mean = float(logarithms.mean())
    beyond_chance = float(logarithms.var(ddof=1) - special.polygamma(1, half).mean())
    if beyond_chance <= 0:
        return float(np.exp(mean)), np.inf
    prior = 2 * _inverse_trigamma(beyond_chance)
    return float(np.exp(mean + special.digamma(prior / 2) - np.log(prior / 2))), prior


def _inverse_trigamma(value: float) -> float:
    """Where the trigamma function has a value, by Newton's method on its reciprocal."""
    found = 0.5 + 1 / value
    for _ in range(STEPS):
        trigamma = float(special.polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, found))
        found += step
        if -step < TOLERANCE * found:
            break
    return found
