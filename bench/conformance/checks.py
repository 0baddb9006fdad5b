"""Checks one implementation on one case, and says in words how it went."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import BuiltNetwork, initial_weights
from bench.conformance.cases import Case
from bench.dtypes import products_in
from bench.errors import kind_line_and_place
from bench.ground_state import build
from bench.implementation import Implementation
from bench.measure.candidate import Candidate, IncorrectError, Problem
from bench.measure.failures import ensure_device_lives, why_not_run
from bench.network import Network
from bench.oracle.expectation import OracleLimits, expect

ALWAYS_DENSE = OracleLimits(dense_bytes=2**40, dense_multiply_adds=float("inf"))
CPU = torch.device("cpu")


class Result(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How a check ended, and why."""

    result: Result
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong; what is declared unsupported is not wrong."""
        return self.result is not Result.FAILED


def check(implementation: Implementation, case: Case, device: torch.device = CPU) -> Outcome:
    """Check outputs cold and warm, gradients and determinism on a case."""
    return check_batch(
        implementation,
        case.network,
        case.batch(),
        device,
        background=case.background,
        seed=case.seed,
    )


def check_batch(
    implementation: Implementation,
    network: Network,
    batch: SparseBatch,
    device: torch.device = CPU,
    *,
    background: Background = Background.ZERO,
    seed: int = 0,
) -> Outcome:
    """Check a network on any canonical batch, whose type is the type under test.

    An exception is a failure like a wrong value: what cannot be done is to be declared.

    Raises:
        DeadDeviceError: if a failure left a dead CUDA context behind; nothing can be checked in it.
    """
    with products_in("float32"):
        outcome = _checked(implementation, network, batch, device, background, seed)
    if not outcome.passed and device.type == "cuda":
        ensure_device_lives(device)
    return outcome


def _checked(
    implementation: Implementation,
    network: Network,
    batch: SparseBatch,
    device: torch.device,
    background: Background,
    seed: int,
) -> Outcome:
    dtype = batch.features.dtype
    batch = batch.to(device)
    weights = initial_weights(network, seed, dtype, device)
    try:
        refusal = why_not_run(implementation, network, dtype, device)
        if refusal is not None:
            return Outcome(Result.UNSUPPORTED, refusal[1])
        expectation = expect(
            network, weights, batch, background=background, seed=seed, limits=ALWAYS_DENSE
        )
        candidate = Candidate(
            implementation, Problem(network, weights, batch, expectation, background)
        )
        candidate.verify_outputs()
        candidate.verify_gradients(apart=True)
        _check_repeats(
            implementation,
            lambda: build(implementation, network, weights, dtype, device, background),
            batch,
        )
        _check_input_kept(candidate, batch)
    except IncorrectError as error:
        return Outcome(Result.FAILED, str(error))
    except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is reported
        return Outcome(Result.FAILED, kind_line_and_place(error))
    return Outcome(Result.PASSED)


def _check_repeats(
    implementation: Implementation, make: Callable[[], BuiltNetwork], batch: SparseBatch
) -> None:
    """The same bits come out of two modules that were built alike, unless declared otherwise."""
    if not implementation.deterministic:
        return
    outputs = []
    for _ in range(2):
        built = make()
        with torch.no_grad():
            fresh = replace(batch, coordinates=batch.coordinates.clone())
            outputs.append(implementation.decode(built(implementation.encode(fresh))).features)
    if not torch.equal(*outputs):
        raise IncorrectError("two runs of the same input differ, and it is declared deterministic")


def _check_input_kept(candidate: Candidate, batch: SparseBatch) -> None:
    """The input may not be written to."""
    kept, coordinates = batch.features.clone(), batch.coordinates.clone()
    with torch.no_grad():
        candidate.built(candidate.implementation.encode(batch))
    if not torch.equal(kept, batch.features):
        raise IncorrectError("the input's features were overwritten")
    if not torch.equal(coordinates, batch.coordinates):
        raise IncorrectError("the input's coordinates were overwritten")
