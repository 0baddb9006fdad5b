"""What is settled before the first step: whether it can be computed, the schedule, the optimizer."""

from dataclasses import replace

import torch

from bench.build import why_unbuildable
from bench.errors import UserError
from bench.implementation import Implementation
from bench.measure.failures import why_unavailable
from bench.results.accuracy import TrainingSettings
from bench.training.classifier import Classifier
from bench.training.experiment import Experiment, Optimizer, Samples, Schedule
from bench.training.faults import blamed
from bench.training.processes import Group
from bench.training.weights import enlargement


def check(
    experiment: Experiment, implementation: Implementation, dtype: torch.dtype, device: torch.device
) -> None:
    """Refuse an implementation that cannot compute an experiment's network here.

    Raises:
        UserError: with the reason, or what asking for it raised.
    """
    with blamed(implementation.name, "when asked what it supports"):
        reason = why_unavailable(implementation, device) or why_unbuildable(
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


def optimizer_of(schedule: Schedule, model: Classifier) -> torch.optim.Optimizer:
    """Make the optimizer of a schedule over a model's weights.

    Weights that are enlarged by the same factor are a group: they move and decay so that the network
    changes as if they were not. A group's `lr` is how many times longer than others its steps are:
    the rate of every step multiplies it.
    """
    factors = {id(leaf): 1 for leaf in model.parameters()}
    for name, operator, leaf in model.network.leaves():
        if name.endswith(".weight"):
            factors[id(leaf)] = enlargement(operator)
    groups = [
        {
            "params": [leaf for leaf in model.parameters() if factors[id(leaf)] == factor],
            "lr": _step_length(schedule.optimizer, factor),
            # The decay is added to a gradient that is smaller by the factor, and multiplies a weight
            # that is larger by it.
            "weight_decay": schedule.weight_decay / factor**2,
        }
        for factor in sorted(set(factors.values()))
    ]
    match schedule.optimizer:
        case Optimizer.ADAM:
            return torch.optim.Adam(groups, fused=True)
        case Optimizer.SGD:
            return torch.optim.SGD(
                groups, momentum=schedule.momentum, nesterov=schedule.momentum > 0, fused=True
            )


def _step_length(optimizer: Optimizer, factor: int) -> float:
    """How many times longer the steps of enlarged weights are, for the same change of the sum.

    Adam's steps do not depend on the size of a gradient; SGD's follow it, and it is smaller by the
    factor.
    """
    match optimizer:
        case Optimizer.ADAM:
            return float(factor)
        case Optimizer.SGD:
            return float(factor**2)
