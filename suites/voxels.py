"""Suite `voxels`: 3D layers of the size that GPUs are for, 56,000 to 450,000 voxels of surfaces."""

from bench.network import INPUT, Layer, Network, single
from bench.operators import Convolution, InverseConvolution, convolution, max_pooling
from bench.workload import Suite, Workload
from suites.inputs import SpconvScene
from suites.patterns import Shell

GRID = (176, 176, 176)
"""A surface in it has about 56,000 voxels."""
BATCH_SIZES = (1, 2, 4, 8)
CHANNELS = (16, 32, 64, 128, 256)
FEW_CHANNELS = (16, 64, 128)
BATCH_SIZE = 4


def workloads() -> tuple[Workload, ...]:
    """Submanifold layers by batch size and channels, the layers between scales, and a real scene."""
    return (*_submanifold(), *_between_scales(), *_scene())


def _submanifold() -> list[Workload]:
    """Most layers of a 3D network."""
    return [
        Workload(
            f"3d-submanifold-k3-c{channels}-b{batch_size}",
            single(convolution(3, "submanifold", channels, channels, 3)),
            Shell(GRID, batch_size),
            channels,
            group=f"3D submanifold 3x3x3, {channels} channels, 56,000 voxels a sample, by batch size",
            position=batch_size,
            axis="batch size",
        )
        for channels in CHANNELS
        for batch_size in BATCH_SIZES
    ]


def _between_scales() -> list[Workload]:
    """Down by convolution or pooling, and down and up again."""
    found = []
    for channels in FEW_CHANNELS:
        down = convolution(3, "full", channels, 2 * channels, 3, 2, 1)
        networks = {
            f"3d-full-k3s2-c{channels}to{2 * channels}": single(down),
            f"3d-down-and-up-k2s2-c{channels}": _down_and_up(channels),
            f"3d-maxpool-k2s2-c{channels}": single(max_pooling(3, 2, 2)),
        }
        found += [
            Workload(f"{name}-b{BATCH_SIZE}", network, Shell(GRID, BATCH_SIZE), channels)
            for name, network in networks.items()
        ]
    return found


def _down_and_up(channels: int) -> Network:
    """A strided convolution and its inverse, the outermost step of a U-Net."""
    down: Convolution = convolution(3, "full", channels, channels, 2, 2)
    up = InverseConvolution(channels, channels, down.window, bias=True)
    return Network((Layer("down", down), Layer("up", up, ("down", INPUT))))


def _scene() -> list[Workload]:
    """The scene of spconv's own benchmark."""
    return [
        Workload(
            f"spconv-submanifold-k3-c{channels}-grid80x1600x1600",
            single(convolution(3, "submanifold", channels, channels, 3)),
            SpconvScene(),
            channels,
        )
        for channels in FEW_CHANNELS
    ]


SUITE = Suite(
    name="voxels",
    description="3D layers on 56,000 to 450,000 voxels, 16 to 256 channels: for GPUs, hours on a CPU",
    workloads=workloads,
    seconds=1.0,
    processes=3,
)
