"""Trains an experiment: steps, tests, checkpoints; the same curve whether or not it was killed.

Whatever is random is a function of seed, epoch and step, so that a checkpoint holds no generator:
weights, the optimizer's state and the curve so far are a whole training.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.parallel import DistributedDataParallel

from bench.background import Background
from bench.batch import SparseBatch
from bench.dtypes import torch_dtype
from bench.errors import DataError, UserError, first_line, kind_and_line
from bench.ground_state import build, check_ground_state
from bench.implementation import Implementation
from bench.results.accuracy import Epoch, TrainingSettings
from bench.training.batches import (
    LabelledBatch,
    Stream,
    ahead,
    generator_of,
    order_of,
    seed_of,
    test_batch,
    training_batch,
)
from bench.training.checkpoint import Checkpoint, Progress
from bench.training.classifier import Classifier
from bench.training.energy import energy_meter
from bench.training.experiment import Experiment, Samples
from bench.training.faults import StoppedError, blamed
from bench.training.preparation import check, optimizer_of, schedule_of
from bench.training.processes import Group
from bench.training.weights import starting_weights

FIRST_LOSSES = 100
"""Steps whose losses are kept one by one."""


@dataclass(frozen=True)
class Report:
    """What a training tells while it goes on.

    Attributes:
        done, total: steps of the whole training.
        loss: mean over the epoch so far.
        accuracy: share of training samples told rightly in the epoch so far.
        epoch: the epoch that has just ended; None within one.
    """

    done: int
    total: int
    loss: float
    accuracy: float
    epoch: Epoch | None = None


class Training:
    """One experiment on its way, from the start or from a checkpoint.

    Args:
        experiment: what is trained; its own number of epochs gives way to the settings'.
        implementation: whose modules compute it.
        settings: everything that decides the curve.
        group: the processes that share it.
        loaders: threads that make batches ahead.

    Raises:
        UserError: if the implementation cannot compute the network, the network has no ground state,
            or data is missing.
        StoppedError: if the implementation raises something.
    """

    def __init__(
        self,
        experiment: Experiment,
        implementation: Implementation,
        settings: TrainingSettings,
        group: Group,
        loaders: int = 0,
    ) -> None:
        self.experiment = experiment
        self.settings = settings
        self.implementation = implementation
        self.group = group
        self.loaders = loaders
        self.device = torch.device(settings.device)
        self.dtype = torch_dtype(settings.dtype)
        check(experiment, implementation, self.dtype, self.device)
        if settings.background is Background.GROUND_STATE:
            check_ground_state(experiment.network)
        self.train_samples = experiment.source.load(train=True, skip_broken=settings.skip_broken)
        self.test_samples = experiment.source.load(train=False, skip_broken=settings.skip_broken)
        self.schedule = schedule_of(experiment, settings, self.train_samples, group)
        self.steps = len(self.train_samples.labels) // self.schedule.batch_size
        network = experiment.network
        weights = starting_weights(network, settings.seed, self.dtype, experiment.gain)
        with self._blamed("when its network was built"):
            built = build(
                implementation, network, weights, self.dtype, self.device, settings.background
            )
        self.model = Classifier(built)
        self.optimizer = optimizer_of(self.schedule, self.model)
        self._step_lengths = [group["lr"] for group in self.optimizer.param_groups]
        self.progress = Progress()
        self._precision = None if settings.precision is None else torch_dtype(settings.precision)
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=self._precision is torch.float16
        )
        self._joules = energy_meter(self.device)
        self._shared: nn.Module = self.model
        if group.size > 1:
            self._shared = DistributedDataParallel(self.model)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of broken samples of both parts that were to be skipped."""
        return (*self.train_samples.left_out, *self.test_samples.left_out)

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            DataError: if it holds the weights of another network.
        """
        try:
            self.model.load_state_dict(saved.model)
            self.optimizer.load_state_dict(saved.optimizer)
            self._scaler.load_state_dict(saved.scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            raise DataError(
                f"the checkpoint does not fit {self.settings.experiment}: {first_line(error)}"
            ) from error
        self.progress = saved.progress

    def checkpoint(self, command: tuple[str, ...]) -> Checkpoint:
        """Make a checkpoint of this moment.

        Raises:
            StoppedError: if a weight is no number.
        """
        if not all(bool(value.isfinite().all()) for value in self.model.parameters()):
            raise StoppedError(
                f"training diverged: a weight is infinite or NaN after {self.progress.steps_before}"
            )
        return Checkpoint(
            self.settings,
            command,
            self.progress,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            self._scaler.state_dict(),
        )

    def run(self, tell: Callable[[Report], None], save: Callable[[], None]) -> None:
        """Train to the last epoch.

        Args:
            tell: told after every step and every epoch.
            save: called after every step and every epoch, between which the state is whole; decides by
                itself whether it is time for a checkpoint.

        Raises:
            StoppedError: if the loss is no number, or the implementation raises something; the step
                is named.
        """
        while len(self.progress.epochs) < self.schedule.epochs:
            for loss in self._epoch():
                if len(self.progress.first_losses) < FIRST_LOSSES:
                    self.progress.first_losses.append(loss)
                tell(self._report())
                save()
            epoch = self._finish_epoch()
            tell(self._report(epoch))
            save()

    def first_steps(self, count: int) -> list[float]:
        """Train for some steps of the first epoch and return their losses."""
        losses = []
        for loss in self._epoch():
            losses.append(loss)
            if len(losses) == count:
                break
        return losses

    def test(self, samples: Samples) -> tuple[float, float]:
        """Mean cross entropy of samples, and the share of them that is told wrongly."""
        self.model.eval()
        self.group.share_buffers(self.model)
        size = self.schedule.batch_size
        steps = range(self.group.rank, math.ceil(len(samples.labels) / size), self.group.size)
        loss, wrong = 0.0, 0
        with torch.no_grad():
            for each in ahead(partial(test_batch, samples, size), steps, self.loaders):
                labelled = each.to(self.device, self.dtype)
                with self._blamed(f"in the test after epoch {self._epoch_number}"):
                    logits = self._logits(self.model, labelled.batch)
                loss += float(F.cross_entropy(logits, labelled.labels, reduction="sum"))
                wrong += _wrong(logits, labelled.labels)
        total_loss, total_wrong = self.group.summed(loss, wrong)
        return total_loss / len(samples.labels), total_wrong / len(samples.labels)

    def weights_digest(self) -> str:
        """sha256 over every weight in torch's layout, by its name."""
        found = hashlib.sha256()
        with self._blamed("when asked for its weights"):
            weights = self.model.weights_in_torch_layout()
        for name, weight in sorted(weights.items()):
            found.update(name.encode())
            found.update(weight.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def _epoch(self) -> Iterator[float]:
        """Train the rest of an epoch; yields the loss of each step."""
        progress, seed = self.progress, self.settings.seed
        number = len(progress.epochs) + 1
        order = order_of(self.train_samples, seed, number)
        size = self.schedule.batch_size

        def make(step: int) -> LabelledBatch:
            generator = generator_of(Stream.SAMPLES, seed, number, step)
            indices = order[step * size : (step + 1) * size]
            return training_batch(self.train_samples, indices, generator, self.group)

        begun, processor, joules = time.perf_counter(), time.process_time(), self._joules()
        batches = ahead(make, range(progress.step, self.steps), self.loaders)
        for labelled in batches:
            loaded = time.perf_counter()
            loss, wrong = self._step(labelled.to(self.device, self.dtype), number)
            now, now_processor = time.perf_counter(), time.process_time()
            progress.step += 1
            progress.loss += loss
            progress.wrong += wrong
            progress.loading_seconds += loaded - begun
            progress.train_seconds += now - begun
            progress.processor_seconds += now_processor - processor
            progress.joules += self._joules() - joules
            yield loss
            begun, processor, joules = time.perf_counter(), time.process_time(), self._joules()

    def _step(self, labelled: LabelledBatch, epoch: int) -> tuple[float, int]:
        """Take one step; returns the whole batch's mean loss and number of errors."""
        step = self.progress.step
        self.model.train()
        torch.manual_seed(seed_of(Stream.DROPOUT, self.settings.seed, epoch, step, self.group.rank))
        rate = self._rate(step + 1)
        for group, length in zip(self.optimizer.param_groups, self._step_lengths, strict=True):
            group["lr"] = rate * length
        where = f"in epoch {epoch}, step {step + 1}"
        with self._blamed(where):
            logits = self._logits(self._shared, labelled.batch)
        loss = F.cross_entropy(logits, labelled.labels)
        loss_sum, wrong = self.group.summed(float(loss.detach()), _wrong(logits, labelled.labels))
        mean = loss_sum / self.group.size
        if not math.isfinite(mean):
            raise StoppedError(f"training diverged: the loss is {mean} {where}")
        self.optimizer.zero_grad()
        with self._blamed(where):
            self._scaler.scale(loss).backward()
        if any(weight.grad is None for weight in self.model.parameters()):
            raise UserError(
                f"{self.settings.implementation} gives no gradients: it cannot be trained"
            )
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return mean, int(wrong)

    def _logits(self, model: nn.Module, batch: SparseBatch) -> Tensor:
        """Compute logits in the weights' type, its layers in the type that autocast chooses."""
        is_mixed = self._precision is not None
        with torch.autocast(self.device.type, self._precision, enabled=is_mixed):
            try:
                logits: Tensor = model(batch)
            except (KeyError, TypeError, NotImplementedError) as error:
                if not is_mixed:
                    raise
                raise UserError(
                    f"{self.settings.implementation} cannot compute {self.settings.experiment} in "
                    f"mixed precision: {kind_and_line(error)}"
                ) from error
        found, expected = list(logits.shape), [batch.batch_size, self.experiment.source.classes]
        if found != expected:
            raise ValueError(f"its logits have the shape {found}, not {expected}")
        return logits.to(self.dtype)

    def _blamed(self, when: str) -> AbstractContextManager[None]:
        """Around what the implementation computes: says in a line what it raises."""
        return blamed(self.implementation.name, when)

    @property
    def _epoch_number(self) -> int:
        """Of the epoch on its way or, between two, of the one that has ended."""
        return len(self.progress.epochs) + bool(self.progress.step)

    def _rate(self, step: int) -> float:
        """Learning rate of an epoch's step, from 1: that of the step's middle."""
        return self.schedule.rate(len(self.progress.epochs) + (step - 0.5) / self.steps)

    def _finish_epoch(self) -> Epoch:
        """Test, and note the epoch."""
        begun = time.perf_counter()
        test_loss, test_error = self.test(self.test_samples)
        progress = self.progress
        epoch = Epoch(
            number=len(progress.epochs) + 1,
            learning_rate=self._rate(self.steps),
            train_loss=progress.loss / self.steps,
            train_error=progress.wrong / (self.steps * self.schedule.batch_size),
            test_loss=test_loss,
            test_error=test_error,
            train_seconds=progress.train_seconds,
            loading_seconds=progress.loading_seconds,
            processor_seconds=progress.processor_seconds,
            test_seconds=time.perf_counter() - begun,
            joules=None if math.isnan(progress.joules) else progress.joules,
        )
        self.progress = Progress(
            started=progress.started,
            resumed=progress.resumed,
            epochs=[*progress.epochs, epoch],
            first_losses=progress.first_losses,
        )
        return epoch

    def _report(self, epoch: Epoch | None = None) -> Report:
        progress = self.progress
        done = len(progress.epochs) * self.steps + progress.step
        total = self.schedule.epochs * self.steps
        if epoch is not None:
            return Report(done, total, epoch.train_loss, 1 - epoch.train_error, epoch)
        seen = progress.step * self.schedule.batch_size
        return Report(done, total, progress.loss / progress.step, 1 - progress.wrong / seen)


def _wrong(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) != labels).sum())
