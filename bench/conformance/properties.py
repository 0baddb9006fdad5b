"""Hypothesis draws coordinates, geometries and element types, and shrinks whatever fails."""

import math
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from bench.batch import SparseBatch, coordinates_of
from bench.conformance.checks import CPU, Outcome, Result, check_batch
from bench.dtypes import DTYPES
from bench.errors import UserError
from bench.implementation import Implementation
from bench.measure.failures import DeadDeviceError
from bench.network import INPUT, Layer, Network, single
from bench.operators import Convolution, InverseConvolution, Rule, convolution, max_pooling

LARGEST_AXIS = {2: 7, 3: 4}
MOST_SITES = 12


@st.composite
def batches(draw: st.DrawFn, dimensions: int, channels: int, dtype: torch.dtype) -> SparseBatch:
    """A canonical batch: up to 12 sites anywhere on a small grid, samples that may be empty."""
    axis = st.integers(1, LARGEST_AXIS[dimensions])
    grid_size = tuple(draw(axis) for _ in range(dimensions))
    batch_size = draw(st.integers(1, 3))
    size = batch_size * math.prod(grid_size)
    keys = draw(st.sets(st.integers(0, size - 1), max_size=MOST_SITES))
    coordinates = coordinates_of(torch.tensor(sorted(keys), dtype=torch.int64), grid_size)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    features = torch.randn((len(keys), channels), generator=generator).to(dtype)
    return SparseBatch(coordinates, features, batch_size, grid_size)


@st.composite
def networks(draw: st.DrawFn, dimensions: int, channels: int) -> Network:
    """One operator of any kind and geometry, or a convolution and its inverse."""
    small = st.integers(1, 3)

    def axes(values: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(values) for _ in range(dimensions))

    kernel_size = axes(small)
    kind = draw(st.sampled_from([*Rule, "max_pooling", "inverse"]))
    if kind == Rule.SUBMANIFOLD:
        odd = tuple(size if size % 2 else size + 1 for size in kernel_size)
        return single(convolution(dimensions, kind, channels, 2, odd, dilation=axes(small)))
    if kind == "max_pooling":
        padding = tuple(draw(st.integers(0, size // 2)) for size in kernel_size)
        return single(max_pooling(dimensions, kernel_size, axes(small), padding, axes(small)))
    rule = Rule.FULL if kind == "inverse" else kind
    geometry: Convolution = convolution(
        dimensions,
        rule,
        channels,
        2,
        kernel_size,
        axes(small),
        axes(st.integers(0, 2)),
        axes(small),
        bias=draw(st.booleans()),
    )
    if kind == "inverse":
        up = InverseConvolution(2, channels, geometry.window)
        return Network((Layer("down", geometry), Layer("up", up, ("down", INPUT))))
    return single(geometry)


def check_properties(
    implementation: Implementation,
    dtype: str = "float64",
    *,
    examples: int = 100,
    device: torch.device = CPU,
    started: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Check an implementation on drawn cases; the smallest failing one is named.

    Where it supports none of them, the outcome is `UNSUPPORTED`, with the first one's reason. A case
    whose windows do not fit the grid is none: as many as `examples` are checked. `started` is told of
    each before it is at work.

    Raises:
        DeadDeviceError: if a failing one left a dead CUDA context behind.
    """
    reasons: dict[Result, str] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def every_drawn_case_passes(data: st.DataObject) -> None:
        dimensions = data.draw(st.sampled_from([2, 3]), label="dimensions")
        channels = data.draw(st.integers(1, 3), label="channels")
        network = data.draw(networks(dimensions, channels), label="network")
        batch = data.draw(batches(dimensions, channels, DTYPES[dtype]), label="batch")
        try:
            network.shapes(channels, batch.grid_size)
        except UserError:
            reject()  # it counts as no example: another one is drawn
        drawn = f"operator {network.layers[-1].operator}; grid {batch.grid_size}; coordinates "
        drawn += str(batch.coordinates.tolist())
        started(drawn)
        try:
            outcome = check_batch(implementation, network, batch, device)
        except DeadDeviceError as error:
            raise DeadDeviceError(f"{error}; {drawn}") from error
        reasons.setdefault(outcome.result, outcome.reason)
        if not outcome.passed:
            raise _FailedExampleError(f"{outcome.reason}; {drawn}")

    try:
        every_drawn_case_passes()
    except _FailedExampleError as error:
        return Outcome(Result.FAILED, str(error))
    except Unsatisfiable:
        return Outcome(Result.UNSUPPORTED, "no case was drawn whose windows fit the grid")
    if Result.PASSED not in reasons and Result.UNSUPPORTED in reasons:
        return Outcome(Result.UNSUPPORTED, reasons[Result.UNSUPPORTED])
    return Outcome(Result.PASSED)


class _FailedExampleError(AssertionError):
    """A drawn case failed; hypothesis shrinks it."""
