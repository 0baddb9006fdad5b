"""The systematic cases: all operators x 2D/3D x kernels x strides x densities x element types."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bench.background import Background
from bench.batch import SparseBatch, coordinates_of, sparse_batch
from bench.dtypes import DTYPES
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    Add,
    Concatenate,
    Convolution,
    Dropout,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
    Rectifier,
    Rule,
    convolution,
    max_pooling,
)
from bench.window import Axes

GRIDS: dict[int, Axes] = {2: (9, 8), 3: (5, 6, 7)}
EMPTY = 0.0
USUAL_DENSITY = 0.3
DENSITIES = (EMPTY, 0.02, USUAL_DENSITY, 1.0)
BATCH_SIZE = 3
IN_CHANNELS, OUT_CHANNELS = 3, 5
Geometry = tuple[int | Axes, int | Axes, int | Axes, int | Axes]
GEOMETRIES: dict[int, tuple[Geometry, ...]] = {
    # kernel size, stride, padding, dilation
    2: (
        (1, 1, 0, 1),
        (2, 1, 0, 1),
        (2, 2, 0, 1),
        (2, 1, 1, 1),
        (3, 1, 1, 1),
        (3, 2, 1, 1),
        (3, 3, 0, 1),
        ((3, 1), (3, 1), 0, 1),  # tiles the grid
        (3, 1, 2, 2),
        (4, 2, 1, 1),
        (5, 1, 2, 1),
        ((3, 2), (1, 2), (1, 0), (2, 1)),
    ),
    3: (
        (1, 1, 0, 1),
        (2, 1, 0, 1),
        (2, 2, 0, 1),
        (3, 1, 1, 1),
        (3, 2, 1, 1),
        (3, 1, 2, 2),
        ((3, 1, 2), (2, 1, 1), (1, 0, 1), (1, 1, 2)),
    ),
}
SUBMANIFOLD: dict[int, tuple[tuple[int | Axes, int], ...]] = {
    # kernel size, dilation
    2: ((1, 1), (3, 1), (5, 1), (3, 2), ((3, 1), 1)),
    3: ((1, 1), (3, 1), (3, 2), ((1, 3, 5), 1)),
}
WIDE: dict[int, tuple[tuple[Rule, int, int, int, int, Axes], ...]] = {
    # rule, channels in and out, kernel size, stride, grid: as large as what is timed, for which an
    # implementation may take other kernels than for the small cases
    2: (
        (Rule.FULL, 16, 32, 3, 2, (5, 150)),
        (Rule.SUBMANIFOLD, 64, 40, 3, 1, (3, 150)),
        (Rule.SPARSITY_INVARIANT, 33, 16, 3, 1, (20, 21)),
    ),
    3: (
        (Rule.FULL, 32, 64, 2, 2, (6, 4, 70)),
        (Rule.SUBMANIFOLD, 16, 32, 3, 1, (3, 3, 80)),
    ),
}
POOLINGS: dict[int, tuple[Geometry, ...]] = {
    2: (
        (2, 2, 0, 1),
        (3, 2, 0, 1),
        (3, 2, 1, 1),
        (3, 1, 1, 2),
        ((3, 4), (3, 4), 0, 1),
        ((2, 3), (1, 2), (0, 1), 1),
    ),
    3: ((2, 2, 0, 1), (3, 2, 1, 1), ((1, 2, 3), (1, 2, 1), 0, 1)),
}


@dataclass(frozen=True)
class Case:
    """One network on one input.

    Attributes:
        operator: what is under test, for the table.
        density: of each sample but the last, which is empty.
        background: what inactive sites hold between the layers.
        batch_size: samples.
        channels: of the input; those that the network's first weights expect, unless given.
    """

    operator: str
    network: Network
    grid_size: Axes
    density: float
    dtype: str
    seed: int = 0
    background: Background = Background.ZERO
    batch_size: int = BATCH_SIZE
    channels: int | None = None

    @property
    def kind(self) -> str:
        """The operator without its geometry."""
        return self.operator.partition("-k")[0]

    def __str__(self) -> str:
        """Name the case as a test is named."""
        return f"{self.operator}-{len(self.grid_size)}d-{self.density:g}-{self.dtype}"

    def batch(self) -> SparseBatch:
        """Make the input; its last sample is empty, its rows are shuffled before they are sorted."""
        generator = torch.Generator().manual_seed(self.seed)
        size = math.prod(self.grid_size)
        count = math.ceil(self.density * size)
        samples = self.batch_size - 1 if self.density < 1 else self.batch_size
        keys = torch.cat(
            [
                torch.randperm(size, generator=generator)[:count] + number * size
                for number in range(samples)
            ]
        )
        channels = self.channels or self.network.input_channels or IN_CHANNELS
        features = torch.randn((len(keys), channels), generator=generator)
        # A site is active because it is listed, whatever it holds. Which of two equal values gets a
        # pooling's gradient is a case of its own.
        if not any(isinstance(layer.operator, MaxPooling) for layer in self.network.layers):
            features[3::7] = 0
        return sparse_batch(
            coordinates_of(keys, self.grid_size), features, self.batch_size, self.grid_size
        ).to(dtype=DTYPES[self.dtype])


def all_cases(dtypes: tuple[str, ...] = tuple(DTYPES)) -> list[Case]:
    """Every density in the first element type, no site and the usual density in the others."""
    cases = []
    for dimensions, (name, network) in itertools.chain(
        ((2, item) for item in _networks(2)), ((3, item) for item in _networks(3))
    ):
        background = Background.GROUND_STATE if name == Background.GROUND_STATE else Background.ZERO
        for rank, dtype in enumerate(dtypes):
            densities = (USUAL_DENSITY, EMPTY) if rank else DENSITIES
            cases += [
                Case(name, network, GRIDS[dimensions], density, dtype, seed, background)
                for seed, density in enumerate(densities)
            ]
    cases += [case for dimensions in (2, 3) for case in _wide(dimensions, dtypes)]
    return cases


def _wide(dimensions: int, dtypes: tuple[str, ...]) -> Iterator[Case]:
    for rule, inputs, outputs, kernel_size, stride, grid_size in WIDE[dimensions]:
        operator = convolution(dimensions, rule, inputs, outputs, kernel_size, stride)
        name = f"{_name(rule, operator)}-c{inputs}to{outputs}"
        for dtype in dtypes:
            yield Case(name, single(operator), grid_size, USUAL_DENSITY, dtype)


def _networks(dimensions: int) -> Iterator[tuple[str, Network]]:
    for rule in (Rule.FULL, Rule.SPARSITY_INVARIANT):
        for number, geometry in enumerate(GEOMETRIES[dimensions]):
            operator = convolution(
                dimensions, rule, IN_CHANNELS, OUT_CHANNELS, *geometry, bias=number % 3 != 2
            )
            yield _name(rule, operator), single(operator)
    for number, (kernel_size, dilation) in enumerate(SUBMANIFOLD[dimensions]):
        operator = convolution(
            dimensions,
            Rule.SUBMANIFOLD,
            IN_CHANNELS,
            OUT_CHANNELS,
            kernel_size,
            dilation=dilation,
            bias=number % 3 != 2,
        )
        yield _name(Rule.SUBMANIFOLD, operator), single(operator)
    for geometry in POOLINGS[dimensions]:
        pooling = max_pooling(dimensions, *geometry)
        yield _name("max_pooling", pooling), single(pooling)
    for geometry in GEOMETRIES[dimensions]:
        down = convolution(dimensions, Rule.FULL, IN_CHANNELS, OUT_CHANNELS, *geometry)
        yield _name("inverse", down), _there_and_back(down)
    yield "network", _network(dimensions)
    yield str(Background.GROUND_STATE), _with_ground_state(dimensions)


def _there_and_back(down: Convolution) -> Network:
    up = InverseConvolution(OUT_CHANNELS, IN_CHANNELS, down.window)
    return Network((Layer("down", down), Layer("up", up, ("down", INPUT))))


def _network(dimensions: int) -> Network:
    """A block with pointwise layers, a branch down and back, a sum and a concatenation."""
    down = convolution(dimensions, Rule.FULL, 4, 6, 3, 2)
    return Network(
        (
            Layer("stem", convolution(dimensions, Rule.SUBMANIFOLD, IN_CHANNELS, 4, 3)),
            Layer("dropout", Dropout(0.5)),
            Layer("active", Rectifier(negative_slope=0.25)),
            Layer("down", down),
            Layer("linear", Linear(6, 6)),
            Layer("up", InverseConvolution(6, 4, down.window), ("linear", "active")),
            Layer("sum", Add(), ("up", "active")),
            Layer("both", Concatenate(), ("sum", "stem")),
            Layer("head", convolution(dimensions, Rule.FULL, 8, 2, 2)),
        )
    )


def _with_ground_state(dimensions: int) -> Network:
    """Valid convolutions behind a padded first one, with pointwise layers, branches and pooling."""
    return Network(
        (
            Layer("stem", convolution(dimensions, Rule.FULL, IN_CHANNELS, 4, 3, padding=1)),
            Layer("active", Rectifier(negative_slope=0.25)),
            Layer("left", convolution(dimensions, Rule.FULL, 4, 4, 2)),
            Layer("right", convolution(dimensions, Rule.FULL, 4, 4, 2, bias=False), ("active",)),
            Layer("sum", Add(), ("left", "right")),
            Layer("both", Concatenate(), ("sum", "left")),
            Layer("pool", max_pooling(dimensions, 2, 2)),
            Layer("linear", Linear(8, 6)),
            Layer("dropout", Dropout(0.5)),
            Layer("last", Rectifier()),
        )
    )


def _name(what: str, operator: Operator) -> str:
    window = getattr(operator, "window")  # noqa: B009  # every operator named here has one

    def short(axes: Axes) -> str:
        return str(axes[0]) if len(set(axes)) == 1 else "x".join(map(str, axes))

    name = f"{what}-k{short(window.kernel_size)}s{short(window.stride)}"
    return f"{name}p{short(window.padding)}d{short(window.dilation)}"
