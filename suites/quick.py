"""Suite `quick`: the questions of a first visit, answered in under three minutes on two cores."""

from bench.network import single
from bench.operators import convolution, max_pooling
from bench.phases import Phase
from bench.workload import Suite, Workload
from suites.patterns import Blobs, PenStrokes, Shell, Uniform

DENSITIES_2D = (0.01, 0.05, 0.2, 0.5, 1.0)
DENSITIES_3D = (0.02, 0.1, 0.4)


def workloads() -> tuple[Workload, ...]:
    """Layers in 2D and 3D: where sparse and dense cross, and each operator once."""
    submanifold_2d = single(convolution(2, "submanifold", 32, 32, 3))
    submanifold_3d = single(convolution(3, "submanifold", 16, 16, 3))
    graham = single(convolution(2, "full", 16, 32, 2))
    return (
        *(
            Workload(
                f"2d-submanifold-k3-c32-grid96-uniform-{density:.0%}",
                submanifold_2d,
                Uniform((96, 96), 2, density),
                channels=32,
                group="2D submanifold 3x3, 32 channels, grid 96, uniform",
                position=density,
            )
            for density in DENSITIES_2D
        ),
        *(
            Workload(
                f"3d-submanifold-k3-c16-grid32-uniform-{density:.0%}",
                submanifold_3d,
                Uniform((32, 32, 32), 1, density),
                channels=16,
                group="3D submanifold 3x3x3, 16 channels, grid 32, uniform",
                position=density,
            )
            for density in DENSITIES_3D
        ),
        Workload(
            "2d-full-k2-c16to32-grid96-strokes",
            graham,
            PenStrokes((96, 96), 8, 64),
            channels=16,
        ),
        Workload(
            "2d-invariant-k5-c16-grid64-blobs-20%",
            single(convolution(2, "sparsity_invariant", 16, 16, 5, padding=2)),
            Blobs((64, 64), 2, 0.2),
            channels=16,
        ),
        Workload(
            "2d-maxpool-k2s2-c32-grid96-strokes",
            single(max_pooling(2, 2, 2)),
            PenStrokes((96, 96), 8, 64),
            channels=32,
        ),
        Workload(
            "3d-full-k3s2-c16to32-grid32-shell",
            single(convolution(3, "full", 16, 32, 3, 2, 1)),
            Shell((32, 32, 32), 2),
            channels=16,
        ),
    )


SUITE = Suite(
    name="quick",
    description="layers in 2D and 3D over a few densities: under three minutes",
    workloads=workloads,
    phases=(Phase.ENCODE, Phase.MAP, Phase.FORWARD, Phase.FORWARD_COLD, Phase.TRAIN_STEP),
    seconds=0.76,
    processes=3,
)
