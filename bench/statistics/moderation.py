"""What few processes cannot say of one comparison, all comparisons together can: moderated p-values.

Three processes tell a variance with two degrees of freedom: among hundreds of comparisons, some look
far surer than they are, and no correction for their number helps. So each variance is drawn towards
what those of its kind have in common, and gains the degrees of freedom that this is known with. How
far is told by how much the variances of a kind differ beyond what chance makes of so few processes
(Smyth 2004, "Linear models and empirical Bayes methods for assessing differential expression"; with a
common variance for each kind, as limma's trend has one for each intensity).
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.statistics.random_effects import Values

FEWEST = 3
"""Comparisons that must be there for what they have in common to be known."""
FEWEST_OF_KIND = 4
"""Comparisons of one kind that are taken apart from the others."""
STEPS = 50
TOLERANCE = 1e-8


def moderated(
    distances: Sequence[float],
    variances: Sequence[float],
    freedoms: Sequence[float],
    kinds: Sequence[Hashable],
) -> list[float] | None:
    """Two-sided p-values of comparisons that were made in one run.

    Args:
        distances: of each estimate beyond what it is tested against; not negative.
        variances: of each estimate, as its own processes tell it; positive.
        freedoms: degrees of freedom of each variance; at least 1.
        kinds: comparisons of one kind are expected to be about as noisy; a phase, say.

    Returns:
        None where there are too few comparisons.
    """
    if len(distances) < FEWEST:
        return None
    own, freedom = np.asarray(variances, float), np.asarray(freedoms, float)
    groups = _groups(kinds)
    common, prior = _common_variances(own, freedom, groups)
    # All that its kind says of a variance is what the others of that kind know.
    others = np.bincount(groups, freedom)[groups] - freedom
    counts = np.minimum(prior, others)
    drawn = (counts * common + freedom * own) / (counts + freedom)
    tails = special.stdtr(counts + freedom, -np.asarray(distances) / np.sqrt(drawn))
    return [float(p) for p in 2 * tails]


def _groups(kinds: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number the kinds from 0 on; those of too few comparisons are one together."""
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    groups = np.array([numbers[kind] for kind in kinds])
    groups[np.bincount(groups)[groups] < FEWEST_OF_KIND] = len(numbers)
    if np.count_nonzero(groups == len(numbers)) < FEWEST_OF_KIND:
        groups[groups == len(numbers)] = np.bincount(groups).argmax()
    return np.unique(groups, return_inverse=True)[1]


def _common_variances(
    variances: Values, freedom: Values, groups: NDArray[np.int64]
) -> tuple[Values, float]:
    """The variance that each one's kind has in common, and the degrees of freedom it counts for."""
    half = freedom / 2
    logarithms = np.log(variances) - special.digamma(half) + np.log(half)
    sizes = np.bincount(groups)
    means = (np.bincount(groups, logarithms) / sizes)[groups]
    squares = float(((logarithms - means) ** 2).sum()) / (len(variances) - len(sizes))
    beyond_chance = squares - float(special.polygamma(1, half).mean())
    if beyond_chance <= 0:
        return np.exp(means), np.inf
    prior = 2 * _inverse_trigamma(beyond_chance)
    return np.exp(means + special.digamma(prior / 2) - np.log(prior / 2)), prior


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
