"""An accuracy experiment as plain data: network, data, schedule, and what others have published."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.background import Background
from bench.batch import SparseBatch
from bench.errors import UserError
from bench.network import Network
from bench.results.accuracy import Published
from bench.training.weights import RECTIFIED_GAIN, enlargement
from bench.window import Axes
from bench.workload import plain, version_of

DEFINITION = 1
"""Raised when training itself changes what an experiment means: initial weights, loss, order."""


class Samples(ABC):
    """The samples of one part of a data set, loaded.

    What is random about a sample is drawn apart from the sample: so several processes that share a
    batch draw alike and each make their own part of it.

    Attributes:
        labels: int64 `[N]`, the class of each sample, from 0.
        left_out: names of broken samples that were to be skipped.
    """

    labels: NDArray[np.int64]
    left_out: tuple[str, ...] = ()

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw what is random about so many samples, one row each; nothing by default."""
        del generator
        return np.zeros((count, 0), dtype=np.float32)

    @abstractmethod
    def batch(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> SparseBatch:
        """Make a canonical float32 batch of samples, with the rows that were drawn for them."""


class Source(Protocol):
    """Where samples come from: a frozen dataclass, so that it can be hashed.

    A class attribute `version` is raised whenever the same fields come to mean other samples.
    """

    @property
    def version(self) -> int:
        """Version of the loader."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def channels(self) -> int:
        """Features of a site."""
        ...

    @property
    def grid_size(self) -> Axes:
        """Grid size of every sample."""
        ...

    def load(self, *, train: bool, skip_broken: bool = False) -> Samples:
        """Load the part for training, with its augmentation, or the part for testing.

        Args:
            train: which part.
            skip_broken: leave out what cannot be decoded, instead of stopping.

        Raises:
            DataError: if data is missing or broken.
        """
        ...


class Optimizer(StrEnum):
    """How weights follow their gradients."""

    ADAM = "adam"
    SGD = "sgd"


class Decay(StrEnum):
    """How the learning rate falls from epoch to epoch."""

    CONSTANT = "constant"
    COSINE = "cosine"


@dataclass(frozen=True)
class Schedule:
    """How an experiment is trained.

    Attributes:
        epochs: passes over the training samples.
        batch_size: samples of one step, over all processes; an incomplete last batch is left out,
            its samples come in other epochs' batches.
        learning_rate: the largest.
        decay: `cosine` lets the rate fall to 0 along half a cosine, after it has risen linearly for
            the first `warm_up` of all epochs.
        momentum: Nesterov's, of SGD.
        weight_decay: added to gradients, times the weights.
    """

    epochs: int
    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    decay: Decay = Decay.CONSTANT
    warm_up: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise UserError(
                f"a schedule needs at least 1 epoch and 1 sample a batch, not {self.epochs} and "
                f"{self.batch_size}"
            )

    def rate(self, passed: float) -> float:
        """Learning rate when so many epochs have passed; a fraction counts part of an epoch."""
        share = passed / self.epochs
        if share < self.warm_up:
            return self.learning_rate * share / self.warm_up
        if self.decay is Decay.CONSTANT:
            return self.learning_rate
        left = (share - self.warm_up) / (1 - self.warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * left))


@dataclass(frozen=True)
class Experiment:
    """A network to be trained on data, and what others reached.

    Attributes:
        name: unique; made of words a reader can take apart.
        description: one line.
        network: whose last layer leaves one site, with a value for each class.
        source: training and test samples.
        schedule: how it is trained unless the user says otherwise.
        implementation: what trains it unless the user says otherwise: the fastest on a CPU.
        published: what to compare with.
        also_tested: other test samples that the trained network is tested on in the end, by what
            they are called.
        target_percent: test error that counts as reached, for the time to accuracy.
        background: what inactive sites hold between layers.
        gain: variance of the weights that training starts from, times their fan-in.

    Raises:
        UserError: if network and source do not fit each other.
    """

    name: str
    description: str
    network: Network
    source: Source
    schedule: Schedule
    implementation: str = "gather"
    published: tuple[Published, ...] = ()
    also_tested: tuple[tuple[str, Source], ...] = ()
    target_percent: float | None = None
    background: Background = Background.ZERO
    gain: float = RECTIFIED_GAIN

    def __post_init__(self) -> None:
        channels, grid = self.network.shapes(self.source.channels, self.source.grid_size)[
            self.network.layers[-1].name
        ]
        if channels != self.source.classes or math.prod(grid) != 1:
            raise UserError(
                f"experiment {self.name!r}: the network ends in {channels} channels on a grid of "
                f"{grid}; {self.source.classes} classes on a single site are needed"
            )

    def definition(self) -> dict[str, Any]:
        """Everything that decides what is learnt, as plain data."""
        found = {
            "definition": DEFINITION,
            "network": plain(self.network),
            "source": plain(self.source) | {"version": self.source.version},
            "schedule": plain(self.schedule),
            "background": self.background,
        }
        factors = {layer.name: enlargement(layer.operator) for layer in self.network.layers}
        enlarged = {name: factor for name, factor in factors.items() if factor != 1}
        found |= {"enlarged_weights": enlarged} if enlarged else {}
        return found | ({"gain": self.gain} if self.gain != RECTIFIED_GAIN else {})

    def version(self) -> str:
        """Hash of the definition: a checkpoint of another version cannot be gone on with."""
        return version_of(self.definition())
