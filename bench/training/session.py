"""One training from its command to its run file: checkpoints now and then, and the record."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import torch
from threadpoolctl import threadpool_limits

from bench.commits import own_commit
from bench.dtypes import products_in
from bench.errors import UserError
from bench.implementation import Implementation
from bench.machine import describe_machine
from bench.measure.failures import why_unavailable
from bench.results import accuracy
from bench.results.accuracy import AccuracyRun, TrainingSettings
from bench.results.schema import Machine
from bench.time_of_day import now
from bench.training import checkpoint as checkpoints
from bench.training.checkpoint import Checkpoint
from bench.training.experiment import Experiment
from bench.training.faults import StoppedError
from bench.training.illustration import active_sites, pictures
from bench.training.processes import Group
from bench.training.training import Report, Training

CHECKPOINT_SECONDS = 60.0
CUDNN = "no algorithm is looked for, as a resumed curve is to be the same; TF32 off"


@dataclass(frozen=True)
class Job:
    """What is to be trained, where its files go, and how often it is saved.

    Attributes:
        target: the run file; checkpoints lie beside it.
        command: as it was given.
        checkpoint_seconds: between two checkpoints; there is one after every epoch, too.
        loaders: threads that make batches ahead.
    """

    experiment: Experiment
    implementation: Implementation
    settings: TrainingSettings
    target: Path
    command: tuple[str, ...]
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    loaders: int = 0

    @property
    def checkpoint(self) -> Path:
        """Where checkpoints lie."""
        return checkpoints.path_of(self.target)


def check_target(job: Job) -> None:
    """Find out that the run file cannot be written before anything is trained for it.

    Raises:
        UserError: if it, or a checkpoint, exists, or its folder cannot be written to.
    """
    if job.target.exists():
        raise UserError(f"{job.target} exists; a run file is written once: name another")
    if job.checkpoint.exists():
        raise UserError(
            f"{job.checkpoint} holds an unfinished training; continue with --resume {job.checkpoint}, "
            f"or remove it"
        )
    checkpoints.check_folder(job.checkpoint)


def check_resumed(
    settings: TrainingSettings, experiment: Experiment, implementation: Implementation, group: Group
) -> None:
    """Refuse a checkpoint whose curve could not be gone on with.

    Raises:
        UserError: if the experiment or the implementation has changed, or the processes' number has.
    """
    for what, recorded, current in (
        (f"version {{}} of {experiment.name}", settings.version, experiment.version()),
        (
            f"version {{}} of {implementation.name}",
            settings.implementation_version,
            str(implementation.version),
        ),
        ("{} processes", settings.processes, group.size),
    ):
        if recorded != current:
            raise UserError(f"the checkpoint is of {what.format(recorded)}, and here is {current}")


def train(
    job: Job,
    group: Group,
    tell: Callable[[Report], None],
    saved: Checkpoint | None = None,
    tell_left_out: Callable[[Sequence[str]], None] = lambda _: None,
) -> AccuracyRun | None:
    """Train, save checkpoints, write the run file; the first process returns the run.

    Args:
        job: what to do.
        group: the processes that share it.
        tell: told after every step and every epoch.
        saved: the checkpoint to go on from.
        tell_left_out: told the names of broken samples that are left out, before the first step.

    Raises:
        UserError: naming the checkpoint that is left, if the loss is no number any more or the
            implementation raises something.
    """
    device = torch.device(job.settings.device)
    why_unavailable(job.implementation, device)  # loads its library: its threads are pinned, too
    with _threads(job.settings.threads), products_in("float32"):
        machine = describe_machine(device, job.settings.threads, CUDNN)
        training = Training(job.experiment, job.implementation, job.settings, group, job.loaders)
        if group.is_first and training.left_out:
            tell_left_out(training.left_out)
        if saved is None:
            training.progress.started = now()
        else:
            training.restore(saved)
            training.progress.resumed += 1
        try:
            training.run(tell, _Saver(job, training, group))
            also_tested = _also_tested(job, training)
            run = _record(job, training, machine, also_tested) if group.is_first else None
        except StoppedError as error:
            left = (
                f"the last good checkpoint is {job.checkpoint}"
                if job.checkpoint.exists()
                else "there was no checkpoint yet"
            )
            raise UserError(f"{error}; {left}") from error
        if run is not None:
            accuracy.write(run, job.target)
    return run


class _Saver:
    """Saves a checkpoint after every epoch, and when the last one is old."""

    def __init__(self, job: Job, training: Training, group: Group) -> None:
        self.job = job
        self.training = training
        self.group = group
        self.saved = time.monotonic()

    def __call__(self) -> None:
        is_due = time.monotonic() - self.saved >= self.job.checkpoint_seconds
        if self.group.is_first and (is_due or not self.training.progress.step):
            self.save()

    def save(self) -> None:
        """Write a checkpoint now."""
        checkpoints.save(self.training.checkpoint(self.job.command), self.job.checkpoint)
        self.saved = time.monotonic()


def _also_tested(job: Job, training: Training) -> dict[str, float]:
    """Share of other test samples that is told wrongly in the end, by their name."""
    skip_broken = job.settings.skip_broken
    return {
        name: training.test(source.load(train=False, skip_broken=skip_broken))[1]
        for name, source in job.experiment.also_tested
    }


def _record(
    job: Job, training: Training, machine: Machine, also_tested: dict[str, float]
) -> AccuracyRun:
    experiment, progress = job.experiment, training.progress
    return AccuracyRun(
        id=uuid4().hex,
        started=progress.started,
        finished=now(),
        command=job.command,
        commit=own_commit(),
        machine=machine,
        settings=job.settings,
        description=experiment.description,
        definition=experiment.definition(),
        parameters=sum(value.numel() for value in training.model.parameters()),
        train_samples=len(training.train_samples.labels),
        test_samples=len(training.test_samples.labels),
        first_losses=tuple(progress.first_losses),
        epochs=tuple(progress.epochs),
        also_tested=also_tested,
        resumed=progress.resumed,
        weights_sha256=training.weights_digest(),
        checkpoint_sha256=checkpoints.digest(job.checkpoint),
        published=experiment.published,
        target_percent=experiment.target_percent,
        pictures=pictures(
            training.train_samples, job.settings.seed, experiment.schedule.batch_size
        ),
        active_sites=active_sites(experiment.network, training.test_samples),
        left_out=training.left_out,
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Pin the threads of torch, OpenMP, OpenBLAS and MKL."""
    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        torch.set_num_threads(count)
        stack.enter_context(threadpool_limits(count))
        yield
