"""Two layers of a network of one's own, at three densities: a complete sparsebench suite."""

from bench.network import single
from bench.operators import convolution
from bench.workload import Suite, Workload
from suites.patterns import Blobs

GRID = (16, 64, 64)
DENSITIES = (0.01, 0.05, 0.2)


def layer(channels, density):
    return Workload(
        f"c{channels}-{density:.0%}",
        single(convolution(3, "submanifold", channels, channels, 3)),  # 3D, 3x3x3
        Blobs(GRID, 2, density),  # or stored_sites(PATH, GRID, 2) from suites.stored
        channels,
        group=f"{channels} channels",  # one curve of the report,
        position=density,  # over this
    )


def workloads():
    return tuple(layer(channels, density) for channels in (16, 32) for density in DENSITIES)


SUITE = Suite("my-layers", "layers of my network", workloads)
