"""What a workload asks: its input, its weights, and what the oracle says is to come out."""

import torch

from bench.batch import SparseBatch
from bench.build import Weights, operands
from bench.cost import Cost
from bench.dtypes import TF32
from bench.errors import UserError, kind_line_and_place
from bench.measure.candidate import Problem
from bench.measure.failures import status_of
from bench.oracle.expectation import expect
from bench.oracle.expected import Expectation
from bench.results.schema import Status
from bench.workload import Workload


def pose(workload: Workload, dtype: str, device: torch.device) -> Problem:
    """Pose a workload in an element type on a device.

    Raises:
        MissingDataError: if its data is not there.
        UserError: if its input cannot be made, or its network does not fit that.
    """
    batch, weights = operands(workload.network, workload.seed, input_of(workload), dtype, device)
    expectation = expectation_of(workload, weights, batch, dtype)
    return Problem(workload.network, weights, batch, expectation, workload.background)


def input_of(workload: Workload) -> SparseBatch:
    """Make a workload's input, sound and in canonical order.

    Raises:
        UserError: if it cannot be made, whatever its suite raises; but running out of memory is told
            as that.
    """
    try:
        batch = workload.input.batch(workload.channels, workload.seed)
    except UserError:
        raise
    except Exception as error:
        if status_of(error)[0] is Status.OUT_OF_MEMORY:
            raise
        raise UserError(f"its input cannot be made: {kind_line_and_place(error)}") from error
    if not isinstance(batch, SparseBatch):
        raise UserError(f"its input's batch() returns a {type(batch).__name__}, no SparseBatch")
    return batch.checked().sorted()


def expectation_of(
    workload: Workload, weights: Weights, batch: SparseBatch, dtype: str, cost: Cost | None = None
) -> Expectation:
    """Have the oracle say what is to come out of a workload's network."""
    return expect(
        workload.network,
        weights,
        batch,
        background=workload.background,
        seed=workload.seed,
        cost=cost,
        tf32=dtype == TF32,
    )
