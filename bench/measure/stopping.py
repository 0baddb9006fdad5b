"""When enough has been measured."""

import itertools
import math
from statistics import NormalDist

import numpy as np

FEWEST_ROUNDS = 8
STABLE_ROUNDS = 64
STABLE_SHRINKAGE = 0.9
STABLE_LOOKS = 3
NORMAL_QUANTILE = NormalDist().inv_cdf(0.995)


class StoppingRule:
    """Stops when every pairwise log-ratio is known precisely, or more rounds no longer help.

    After each round it is given the seconds of every implementation in that round.

    - `precise`: the 99 % interval of the median of every pairwise log-ratio, by order statistics, has
      a half-width of at most `precision`.
    - `stable`: doubling the rounds, to at least 64, shrank the widest interval by less than a tenth
      at three looks in a row, where independent noise shrinks by three tenths: what is left is drift.
    """

    def __init__(self, precision: float) -> None:
        self.precision = precision
        self.restart()

    def restart(self) -> None:
        """Forget all rounds: somebody dropped out, and other pairs are left."""
        self._rounds: list[list[float]] = []
        self._widths: dict[int, float] = {}
        self._next_look = FEWEST_ROUNDS
        self._looks_in_vain = 0

    def add(self, seconds: list[float]) -> None:
        """Take in one round: the time of every implementation, in a fixed order."""
        self._rounds.append(seconds)

    def finished(self) -> str | None:
        """Say which rule is met, or None."""
        count = len(self._rounds)
        if count < self._next_look:
            return None
        self._next_look = math.ceil(count * 1.25)
        width = self._widest()
        self._widths[count] = width
        if width <= self.precision:
            return "precise"
        halves = [rounds for rounds in self._widths if rounds <= count // 2]
        helped = not halves or width <= STABLE_SHRINKAGE * self._widths[max(halves)]
        self._looks_in_vain = 0 if helped or count < STABLE_ROUNDS else self._looks_in_vain + 1
        return "stable" if self._looks_in_vain >= STABLE_LOOKS else None

    def _widest(self) -> float:
        """The largest half-width over all pairs; for one implementation, that of its own times."""
        logarithms = np.log(np.array(self._rounds))
        count, implementations = logarithms.shape
        if implementations == 1:
            series = logarithms
        else:
            pairs = list(itertools.combinations(range(implementations), 2))
            left = [first for first, _ in pairs]
            right = [second for _, second in pairs]
            series = logarithms[:, left] - logarithms[:, right]
        ordered = np.sort(series, axis=0)
        rank = max(0, math.floor((count - 1 - NORMAL_QUANTILE * math.sqrt(count)) / 2))
        return float(((ordered[count - 1 - rank] - ordered[rank]) / 2).max())
