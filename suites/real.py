"""Suite `real`: layers on pen recordings, images and scanned scenes."""

from bench.network import single
from bench.operators import convolution, max_pooling
from bench.workload import Suite, Workload
from suites.inputs import Images, PenRecordings, Scene, SpconvScene


def workloads() -> tuple[Workload, ...]:
    """Layers in the middle of a network, on the sites that real data has."""
    graham = single(convolution(2, "full", 16, 32, 2))
    submanifold_2d = single(convolution(2, "submanifold", 32, 32, 3))
    submanifold_3d = single(convolution(3, "submanifold", 16, 16, 3))
    strided_3d = single(convolution(3, "full", 16, 32, 3, 2, 1))
    invariant = single(convolution(2, "sparsity_invariant", 16, 16, 5, padding=2))
    scan = Scene("small_gicp_source", 0.5, (32, 128, 96))
    fine = Scene("spconv_benchmark-pc", 0.05, (160, 3200, 3200))
    return (
        *(
            Workload(
                f"assamese-full-k2-c16to32-grid{grid}",
                graham,
                PenRecordings(grid, grid * 2 // 3, 8),
                channels=16,
                group="Assamese recordings, full 2x2, 16 to 32 channels, by grid size",
                position=grid,
                axis="grid size",
            )
            for grid in (48, 96, 192, 384)
        ),
        Workload(
            "assamese-submanifold-k3-c32-grid95", submanifold_2d, PenRecordings(95, 63, 8), 32
        ),
        Workload(
            "assamese-maxpool-k3s2-c32-grid95",
            single(max_pooling(2, 3, 2)),
            PenRecordings(95, 63, 8),
            channels=32,
        ),
        Workload("mnist-full-k2-c16to32-grid96", graham, Images("mnist", 96, 16), 16),
        Workload("mnist-invariant-k5-c16-grid28", invariant, Images("mnist", 28, 16), 16),
        Workload("digits-submanifold-k3-c32-grid24", submanifold_2d, Images("digits", 24, 64), 32),
        Workload("scan-submanifold-k3-c16-grid32x128x96", submanifold_3d, scan, 16),
        Workload("scan-full-k3s2-c16to32-grid32x128x96", strided_3d, scan, 16),
        Workload("spconv-submanifold-k3-c16-grid80x1600x1600", submanifold_3d, SpconvScene(), 16),
        Workload("spconv-full-k3s2-c16to32-grid80x1600x1600", strided_3d, SpconvScene(), 16),
        Workload("spconv-submanifold-k3-c16-grid160x3200x3200", submanifold_3d, fine, 16),
        Workload("spconv-full-k3s2-c16to32-grid160x3200x3200", strided_3d, fine, 16),
    )


SUITE = Suite(
    name="real",
    description="layers on Assamese recordings, MNIST, digits and scanned scenes",
    workloads=workloads,
    seconds=1.0,
    processes=3,
)
