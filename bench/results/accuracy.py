"""The types of an accuracy run file, and its writing and reading.

As a run file of times, it is written once, whole or not at all, and holds data only. Raise `SCHEMA`
when an old reader would misread.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.background import Background
from bench.results import envelope
from bench.results.envelope import FileKind
from bench.results.schema import Machine

FORMAT = "sparsebench-accuracy"
SCHEMA = 1


@dataclass(frozen=True)
class TrainingSettings:
    """What was trained, and how; equal settings give equal curves.

    Attributes:
        experiment: its name.
        version: hash of what defines it, the small version's if `small`.
        small: whether this is the small version.
        epochs: passes over the training samples.
        processes: that shared every batch.
        threads: of torch, OpenMP, OpenBLAS and MKL in each of them.
        skip_broken: whether broken samples were to be left out.
        precision: type that torch.autocast let layers compute in; None if all was in `dtype`.
    """

    experiment: str
    version: str
    small: bool
    implementation: str
    implementation_version: str
    background: Background
    dtype: str
    device: str
    seed: int
    epochs: int
    processes: int = 1
    threads: int = 1
    skip_broken: bool = False
    precision: str | None = None


@dataclass(frozen=True)
class Epoch:
    """One pass over the training samples, and the test after it.

    Attributes:
        number: from 1.
        learning_rate: of its last step.
        train_loss: mean cross entropy over its steps, in nats.
        train_error: share of training samples, as augmented, that were told wrongly on the way.
        test_loss: mean cross entropy of the test samples.
        test_error: share of test samples that were told wrongly.
        train_seconds: wall time of its steps, loading included.
        loading_seconds: wall time that steps waited for their batches.
        processor_seconds: of this process in its steps; below `train_seconds` by what others took.
        test_seconds: wall time of the test.
        joules: that the first process's GPU took in its steps; None where nothing measures it.
    """

    number: int
    learning_rate: float
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float
    train_seconds: float
    loading_seconds: float
    processor_seconds: float
    test_seconds: float
    joules: float | None = None


@dataclass(frozen=True)
class Published:
    """A test error that others have published, in percent, and who."""

    error_percent: float
    origin: str


@dataclass(frozen=True)
class Picture:
    """A training sample as the network saw it.

    Attributes:
        label: its class.
        grid_size: before the picture was cut to its middle.
        png: RGBA; inactive sites are transparent.
    """

    label: int
    grid_size: tuple[int, ...]
    png: bytes


@dataclass(frozen=True)
class ActiveSites:
    """How many sites are active after a layer, of how many."""

    layer: str
    active: int
    sites: int


@dataclass(frozen=True)
class AccuracyRun:
    """What one training gave.

    Attributes:
        id: unique.
        command: as it was given.
        definition: what the version is the hash of.
        parameters: number of learnt numbers.
        train_samples, test_samples: how many there were.
        first_losses: cross entropy of the first steps, for comparing implementations.
        epochs: the curves.
        also_tested: share of other test samples that was told wrongly in the end, by their name.
        resumed: how many times training went on from a checkpoint.
        weights_sha256: digest of the weights in torch's layout, by name.
        checkpoint_sha256: digest of the checkpoint file that holds them.
        published: what to compare with.
        target_percent: test error that counts as reached; None if none was set.
        pictures: the first training samples.
        active_sites: of the first test sample, before the first layer and after each.
        left_out: names of broken samples that were to be skipped.
    """

    id: str
    started: str
    finished: str
    command: tuple[str, ...]
    commit: str
    machine: Machine
    settings: TrainingSettings
    description: str
    definition: dict[str, Any]
    parameters: int
    train_samples: int
    test_samples: int
    first_losses: tuple[float, ...]
    epochs: tuple[Epoch, ...]
    also_tested: dict[str, float]
    resumed: int
    weights_sha256: str
    checkpoint_sha256: str
    published: tuple[Published, ...] = ()
    target_percent: float | None = None
    pictures: tuple[Picture, ...] = ()
    active_sites: tuple[ActiveSites, ...] = ()
    left_out: tuple[str, ...] = ()
    format: str = FORMAT
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not self.epochs:
            raise ValueError("an accuracy run has at least one epoch")
        if len(self.epochs) != self.settings.epochs:
            raise ValueError(
                f"an accuracy run of {self.settings.epochs} epochs has {len(self.epochs)} of them"
            )

    @property
    def error_percent(self) -> float:
        """Test error after the last epoch, whatever it was before."""
        return 100 * self.epochs[-1].test_error

    @property
    def train_seconds(self) -> float:
        """Wall time of all training steps."""
        return sum(epoch.train_seconds for epoch in self.epochs)

    @property
    def joules(self) -> float | None:
        """What the GPU took in all training steps; None if some were not measured."""
        known = [epoch.joules for epoch in self.epochs if epoch.joules is not None]
        return sum(known) if len(known) == len(self.epochs) else None

    def seconds_to(self, error_percent: float) -> float | None:
        """Training time until a test first came to this error or less; None if none did."""
        seconds = 0.0
        for epoch in self.epochs:
            seconds += epoch.train_seconds
            if 100 * epoch.test_error <= error_percent:
                return seconds
        return None


RUN_FILE = FileKind("an accuracy run file", FORMAT, SCHEMA, AccuracyRun)


def write(run: AccuracyRun, target: Path) -> None:
    """Write an accuracy run file, atomically and once, in a folder that is made where it is missing.

    Raises:
        UserError: if the target exists or cannot be written.
    """
    envelope.write(msgspec.json.format(msgspec.json.encode(run), indent=1), target)


def is_accuracy(path: Path) -> bool:
    """Whether a file says that it is an accuracy run file, sound or not."""
    return RUN_FILE.is_claimed_by(path)


def load(path: Path) -> AccuracyRun:
    """Read an accuracy run file.

    Raises:
        DataError: if it is missing, truncated, damaged, of a newer schema, or not ours.
    """
    return RUN_FILE.decode(envelope.read(path), str(path))
