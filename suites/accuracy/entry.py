"""An experiment in two sizes, and what several families of experiments share."""

from dataclasses import dataclass

from bench.training.experiment import Decay, Experiment, Optimizer, Schedule

REPRODUCTION = "reproduction"
FEW_DIGITS = 6
"""A small version trains on every sixth digit, ..."""
FEW_CHARACTERS = 6
"""... on every sixth of the 183 characters."""


@dataclass(frozen=True)
class Entry:
    """An experiment, and a version of it that takes minutes and ranks the alternatives alike."""

    full: Experiment
    small: Experiment


def adam(epochs: int, rate: float = 1e-3, batch_size: int = 256) -> Schedule:
    """Adam whose rate rises for a tenth of the epochs, then falls along a cosine."""
    return Schedule(epochs, batch_size, Optimizer.ADAM, rate, Decay.COSINE, warm_up=0.1)
