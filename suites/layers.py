"""Suite `layers`: single layers, one thing varied at a time around a base, for curves and tables."""

from bench.network import Network, single
from bench.operators import Rule, convolution, max_pooling
from bench.window import Axes
from bench.workload import Suite, Workload
from suites.patterns import Blobs, PenStrokes, Shell, Uniform

GRIDS = {2: (48, 96, 192, 384, 768), 3: (32, 64, 128)}
DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
FEW_DENSITIES = (0.01, 0.05, 0.2, 0.5, 1.0)
BASE_CHANNELS = {2: 32, 3: 16}
BASE_GRID = {2: 96, 3: 32}
CHANNELS = (1, 4, 8, 16, 32, 64, 128, 256)


def workloads() -> tuple[Workload, ...]:
    """All layers; the same one reached on two ways appears once."""
    found = [
        *_by_grid(),
        *_by_channels(),
        *_by_kernel(),
        *_strokes(),
        *_other_operators(),
    ]
    return tuple({workload.name: workload for workload in found}.values())


def _by_grid() -> list[Workload]:
    """Submanifold layers of every grid size and density."""
    return [
        _uniform(dimensions, Rule.SUBMANIFOLD, BASE_CHANNELS[dimensions], 3, 1, grid, density)
        for dimensions, grids in GRIDS.items()
        for grid in grids
        for density in DENSITIES
    ]


def _by_channels() -> list[Workload]:
    """Submanifold layers of every number of channels."""
    return [
        _uniform(dimensions, Rule.SUBMANIFOLD, channels, 3, 1, BASE_GRID[dimensions], density)
        for dimensions in GRIDS
        for channels in CHANNELS
        for density in FEW_DENSITIES
    ]


def _by_kernel() -> list[Workload]:
    """Full convolutions of every kernel size and stride."""
    return [
        _uniform(
            dimensions,
            Rule.FULL,
            BASE_CHANNELS[dimensions],
            kernel,
            stride,
            BASE_GRID[dimensions],
            density,
        )
        for dimensions in GRIDS
        for kernel in (2, 3, 5)
        for stride in (1, 2)
        for density in FEW_DENSITIES
    ]


def _strokes() -> list[Workload]:
    """The same drawing on doubled grids: Graham's case, where sites grow linearly with the grid."""
    network = single(convolution(2, Rule.FULL, 16, 32, 2))
    return [
        Workload(
            f"2d-full-k2-c16to32-grid{grid}-strokes",
            network,
            PenStrokes((grid, grid), 4, grid * 2 // 3),
            channels=16,
            group="2D full 2x2, 16 to 32 channels, the same pen strokes, by grid size",
            position=grid,
            axis="grid size",
        )
        for grid in GRIDS[2]
    ]


def _other_operators() -> list[Workload]:
    """Max pooling, the sparsity invariant rule, clustered sites and surfaces."""
    pooling_2d, pooling_3d = single(max_pooling(2, 2, 2)), single(max_pooling(3, 3, 2, 1))
    invariant = single(convolution(2, Rule.SPARSITY_INVARIANT, 16, 16, 5, padding=2))
    submanifold_2d = single(convolution(2, Rule.SUBMANIFOLD, 32, 32, 3))
    submanifold_3d = single(convolution(3, Rule.SUBMANIFOLD, 16, 16, 3))
    return [
        *_densities("2d-maxpool-k2s2-c32-grid96", pooling_2d, (96, 96), 32),
        *_densities("3d-maxpool-k3s2-c16-grid32", pooling_3d, (32, 32, 32), 16),
        *_densities("2d-invariant-k5-c16-grid96", invariant, (96, 96), 16),
        *(
            Workload(
                f"2d-submanifold-k3-c32-grid192-blobs-{density:.3g}", submanifold_2d, blobs, 32
            )
            for density in FEW_DENSITIES[:-1]
            for blobs in (Blobs((192, 192), 1, density),)
        ),
        *(
            Workload(f"3d-submanifold-k3-c16-grid{grid}-shell", submanifold_3d, shell, 16)
            for grid in GRIDS[3]
            for shell in (Shell((grid, grid, grid), 1),)
        ),
    ]


def _uniform(
    dimensions: int,
    rule: Rule,
    channels: int,
    kernel: int,
    stride: int,
    grid: int,
    density: float,
) -> Workload:
    padding = None if rule is Rule.SUBMANIFOLD else kernel // 2
    network = single(convolution(dimensions, rule, channels, channels, kernel, stride, padding))
    what = f"{dimensions}d-{rule}-k{kernel}s{stride}-c{channels}-grid{grid}"
    return Workload(
        f"{what}-uniform-{density:.3g}",
        network,
        Uniform((grid,) * dimensions, 1, density),
        channels=channels,
        group=f"{what}-uniform",
        position=density,
    )


def _densities(what: str, network: Network, grid_size: Axes, channels: int) -> list[Workload]:
    return [
        Workload(
            f"{what}-uniform-{density:.3g}",
            network,
            Uniform(grid_size, 1, density),
            channels=channels,
            group=f"{what}-uniform",
            position=density,
        )
        for density in FEW_DENSITIES
    ]


SUITE = Suite(
    name="layers",
    description="single layers over grids, densities, channels, kernels, strides: well over an hour",
    workloads=workloads,
    seconds=1.0,
    processes=3,
)
