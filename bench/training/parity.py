"""Whether implementations learn alike: the same losses, step by step, from the same weights.

Sparse is dense, only faster: in ground-state mode every implementation computes the plain dense
network, so that losses differ by rounding alone, which training enlarges from step to step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.background import Background
from bench.ground_state import why_no_ground_state, without_dropout
from bench.implementation import Implementation
from bench.results.accuracy import TrainingSettings
from bench.training.experiment import Experiment
from bench.training.processes import Group
from bench.training.training import Training

STEPS = 100
TOLERANCE = {"float64": 1e-9, "float32": 1e-2}
"""Relative difference of a step's loss that is put down to rounding; measured: docs/accuracy.md."""


@dataclass(frozen=True)
class Parity:
    """How one implementation's losses lie to the reference's.

    Attributes:
        losses: of each step.
        difference: largest relative difference of a step's loss; not finite if either is not.
        step: at which it was, from 1.
        agrees: whether it is within the tolerance.
    """

    implementation: str
    losses: tuple[float, ...]
    difference: float
    step: int
    agrees: bool


def compare(
    experiment: Experiment,
    implementations: Sequence[Implementation],
    *,
    dtype: str = "float64",
    device: str = "cpu",
    seed: int = 0,
    steps: int = STEPS,
) -> tuple[Parity, ...]:
    """Train with every implementation and compare with the first.

    In ground-state mode where the network has a ground state, else with zeros; without dropout, which
    would draw for other sites in another implementation.

    Args:
        experiment: what is trained.
        implementations: the reference first.
        dtype: of weights and values; a key of `TOLERANCE`.
        device: where all of them compute.
        seed: of weights and batches.
        steps: of the first epoch, at most.

    Raises:
        UserError: if an implementation cannot compute the network, or data is missing.
    """
    network = without_dropout(experiment.network)
    background = (
        Background.ZERO if why_no_ground_state(network) is not None else Background.GROUND_STATE
    )
    plain = replace(experiment, network=network, background=background)
    curves = [_losses(plain, each, dtype, device, seed, steps) for each in implementations]
    return tuple(
        _parity(each.name, curve, curves[0], TOLERANCE[dtype])
        for each, curve in zip(implementations, curves, strict=True)
    )


def _losses(
    experiment: Experiment,
    implementation: Implementation,
    dtype: str,
    device: str,
    seed: int,
    steps: int,
) -> list[float]:
    settings = TrainingSettings(
        experiment=experiment.name,
        version=experiment.version(),
        small=False,
        implementation=implementation.name,
        implementation_version=str(implementation.version),
        background=experiment.background,
        dtype=dtype,
        device=device,
        seed=seed,
        epochs=experiment.schedule.epochs,
    )
    return Training(experiment, implementation, settings, Group()).first_steps(steps)


def _parity(name: str, losses: list[float], reference: list[float], tolerance: float) -> Parity:
    differences = [
        abs(loss - other) / abs(other) if math.isfinite(loss) and math.isfinite(other) else math.inf
        for loss, other in zip(losses, reference, strict=True)
    ]
    largest = max(differences)
    return Parity(
        name, tuple(losses), largest, differences.index(largest) + 1, largest <= tolerance
    )
