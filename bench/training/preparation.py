"""What is settled before the first step: whether it can be computed, the schedule, the optimizer."""

from dataclasses import replace

import torch
from torch import nn

from bench.build import why_unbuildable
from bench.errors import UserError
from bench.implementation import Implementation
from bench.results.accuracy import TrainingSettings
from bench.training.experiment import Experiment, Optimizer, Samples, Schedule
from bench.training.processes import Group


def check(
    experiment: Experiment, implementation: Implementation, dtype: torch.dtype, device: torch.device
) -> None:
    """Refuse an implementation that cannot compute an experiment's network here.

    Raises:
        UserError: with the reason.
    """
    reason = implementation.unavailable(device) or why_unbuildable(
        implementation, experiment.network, dtype, device
    )
    if reason is not None:
        raise UserError(f"{implementation.name} cannot train {experiment.name}: {reason}")


def schedule_of(
    experiment: Experiment, settings: TrainingSettings, samples: Samples, group: Group
) -> Schedule:
    """The schedule over as many epochs as were asked for, with batches that there are samples for.

    Raises:
        UserError: if there are too few samples, or processes cannot share a batch.
    """
    schedule = replace(experiment.schedule, epochs=settings.epochs)
    count = len(samples.labels)
    if count < schedule.batch_size:
        raise UserError(
            f"{experiment.name} trains on batches of {schedule.batch_size}, and there are only {count} "
            f"samples"
        )
    if schedule.batch_size % group.size:
        raise UserError(
            f"{experiment.name} trains on batches of {schedule.batch_size}, which {group.size} "
            f"processes cannot share evenly"
        )
    return schedule


def optimizer_of(schedule: Schedule, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer of a schedule over a model's weights."""
    match schedule.optimizer:
        case Optimizer.ADAM:
            return torch.optim.Adam(
                model.parameters(),
                schedule.learning_rate,
                weight_decay=schedule.weight_decay,
                fused=True,
            )
        case Optimizer.SGD:
            return torch.optim.SGD(
                model.parameters(),
                schedule.learning_rate,
                momentum=schedule.momentum,
                nesterov=schedule.momentum > 0,
                weight_decay=schedule.weight_decay,
                fused=True,
            )
