"""Checkpoints: written whole or not at all, read without running any code in them.

A checkpoint holds tensors, numbers and strings only, so that `torch.load(weights_only=True)` takes it.
"""

import hashlib
import io
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch

from bench.errors import DataError, UserError, first_line
from bench.files import make_folder, written_whole
from bench.results.accuracy import Epoch, TrainingSettings

FORMAT = "sparsebench-checkpoint"
SCHEMA = 1
SUFFIX = ".checkpoint"
UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError)
"""What torch raises for files that are cut off or damaged."""


class Progress(msgspec.Struct):
    """How far a training has come.

    Attributes:
        started: when, as ISO 8601.
        resumed: how many times it went on from a checkpoint.
        step: steps done in the epoch that is going on.
        loss: sum of their mean losses.
        wrong: training samples told wrongly in them.
        joules: of those steps; NaN once a step's were not measured.
        epochs: those that are done.
        first_losses: losses of the first steps of all.
    """

    started: str = ""
    resumed: int = 0
    step: int = 0
    loss: float = 0.0
    wrong: int = 0
    train_seconds: float = 0.0
    loading_seconds: float = 0.0
    processor_seconds: float = 0.0
    joules: float = 0.0
    epochs: list[Epoch] = []
    first_losses: list[float] = []

    @property
    def steps_before(self) -> str:
        """Where training stands, in words."""
        return f"epoch {len(self.epochs) + 1}, step {self.step}"


class Checkpoint(msgspec.Struct):
    """A whole training at one moment.

    Attributes:
        command: that began it.
        model: state of the network, in the implementation's layouts.
        optimizer: state of the optimizer.
        scaler: state of the gradient scaler; empty without one.
    """

    settings: TrainingSettings
    command: tuple[str, ...]
    progress: Progress
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any] = {}


def path_of(target: Path) -> Path:
    """Where the checkpoints of a training lie whose run file is to be `target`."""
    return target.with_name(target.name.removesuffix(".json") + SUFFIX)


def target_of(path: Path) -> Path:
    """The run file that a checkpoint's training is to leave."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint in the place of the one before; a kill leaves one or the other.

    Raises:
        UserError: if it cannot be written; the one before stays.
    """
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "settings": msgspec.to_builtins(checkpoint.settings),
        "command": list(checkpoint.command),
        "progress": msgspec.to_builtins(checkpoint.progress),
        "model": checkpoint.model,
        "optimizer": checkpoint.optimizer,
        "scaler": checkpoint.scaler,
    }
    whole = io.BytesIO()  # on a full disk torch raises what tells nothing
    torch.save(document, whole)
    with _explained(path), written_whole(path, lasting=True) as stream:
        stream.write(whole.getbuffer())


def check_folder(path: Path) -> None:
    """Make the folder of a checkpoint, and a file there, which goes again.

    Raises:
        UserError: if it cannot be written.
    """
    with _explained(path):
        make_folder(path.parent)
        tempfile.NamedTemporaryFile(dir=path.parent).close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in a line what hinders the writing of a checkpoint.

    Raises:
        UserError: for what the system raises.
    """
    try:
        yield
    except FileExistsError as error:
        raise UserError(f"cannot write {path}: {error.filename} is not a folder") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DataError: if it is missing, cut off, damaged, of a newer schema, or not ours.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    with stream:
        try:
            document = torch.load(stream, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # Not in torch's words: they advise to run whatever code the file holds.
            raise DataError(f"{path} is not a checkpoint, or is damaged") from error
        except UNREADABLE as error:
            raise DataError(
                f"{path} is not a checkpoint, or is damaged: {first_line(error)}"
            ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path} is not a checkpoint of sparsebench: it does not say {FORMAT!r}")
    if document.get("schema") != SCHEMA:
        raise DataError(
            f"{path} has schema {document.get('schema')!r}; this version of sparsebench reads {SCHEMA}"
        )
    try:
        return Checkpoint(
            settings=msgspec.convert(document["settings"], TrainingSettings),
            command=tuple(document["command"]),
            progress=msgspec.convert(document["progress"], Progress),
            model=document["model"],
            optimizer=document["optimizer"],
            scaler=document.get("scaler", {}),
        )
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise DataError(f"{path} is a damaged checkpoint: {first_line(error)}") from error


def digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
