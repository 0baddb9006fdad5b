"""A U-Net of one's own over 3D sites, at two widths: a complete sparsebench suite."""

from bench.network import Layer, Network
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
)
from bench.workload import Suite, Workload
from suites.patterns import Shell

GRID = (48, 48, 48)
CLASSES = 10


def u_net(channels, width):
    """One level down and up; every layer reads the one before it, unless `reads` names others."""
    down = convolution(3, "full", width, 2 * width, 2, stride=2)  # 3D, 2x2x2, stride 2
    return Network(
        (
            Layer("stem", convolution(3, "submanifold", channels, width, 3)),
            Layer("stem_norm", BatchNorm(width)),
            Layer("stem_relu", Rectifier()),
            Layer("block", convolution(3, "submanifold", width, width, 3)),
            Layer("residual", Add(), ("block", "stem_relu")),  # at the same sites
            Layer("down", down),
            Layer("down_relu", Rectifier()),
            # Back to the sites of "residual", by the window that left them.
            Layer("up", InverseConvolution(2 * width, width, down.window), ("down_relu", "residual")),
            Layer("skip", Concatenate(), ("up", "residual")),
            Layer("head", Linear(2 * width, CLASSES)),  # at every active site
        )
    )


def workloads():
    sites = Shell(GRID, 1)  # or stored_sites(PATH, GRID) from suites.stored
    return tuple(
        Workload(f"u-net-{width}", u_net(3, width), sites, 3, group="u-net", position=width, axis="width")
        for width in (8, 16)
    )


SUITE = Suite("my-network", "a U-Net of mine", workloads)
