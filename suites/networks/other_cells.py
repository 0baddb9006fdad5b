"""VGGs, the small CNN and the sparsity invariant CNNs in suite `networks`."""

from bench.operators import Rule
from bench.workload import Workload
from suites.networks.cells import Curve, cell, in_ground_state
from suites.networks.characters import AssameseCharacters
from suites.networks.cnn import small_cnn
from suites.networks.invariant import invariant_caltech101, invariant_cnn, invariant_mnist
from suites.networks.pictures import DepthMaps, InkImages, KeptDigits, KeptPhotographs
from suites.networks.vgg import ASSAMESE_CLASSES, assamese_vgg, grid_of, plain_vgg
from suites.patterns import PenStrokes, Uniform

DIGITS = 10
LEVELS = (3, 4, 5, 6)
SMALL_GRIDS = (24, 48, 96)
DEPTH_GRIDS = (32, 64, 128)
DEPTH_DENSITIES = (0.05, 0.2, 0.5)
KEPT_DENSITIES = (0.1, 0.3, 0.5)


def vggs() -> list[Workload]:
    """Submanifold convolutions in stacks, and what they cost where sites may spread."""
    curve = Curve(
        "Plain VGG, submanifold, one character in pen strokes, batch 2, by grid size", "grid size"
    )
    twin = plain_vgg(4, ASSAMESE_CLASSES, rule=Rule.FULL)
    recordings = AssameseCharacters(95, 63, 32)
    return [
        *(_plain_vgg(levels, curve) for levels in LEVELS),
        cell("vgg-twin-4-grid95-strokes", twin, PenStrokes((95, 95), 2, 32)),
        cell("vgg-assamese-grid95-strokes", assamese_vgg(), PenStrokes((95, 95), 8, 63), 3),
        cell("vgg-assamese-grid95-assamese", assamese_vgg(), recordings, 3),
    ]


def small_cnns() -> list[Workload]:
    """What sparse inputs do to a network made for dense ones."""
    curve = Curve("Small CNN, one character in pen strokes, batch 16, by grid size", "grid size")
    drawn = [
        cell(
            f"cnn-small-grid{grid}-strokes",
            small_cnn(grid, ASSAMESE_CLASSES),
            PenStrokes((grid, grid), 16, grid * 2 // 3),
            curve=curve,
            position=grid,
        )
        for grid in SMALL_GRIDS
    ]
    real = [
        cell("cnn-small-grid28-mnist", small_cnn(28, DIGITS), InkImages("mnist", 28, 64)),
        cell(
            "cnn-small-grid48-assamese",
            small_cnn(48, ASSAMESE_CLASSES),
            AssameseCharacters(48, 48, 32),
        ),
    ]
    return [*drawn, *real, *in_ground_state(real)]


def invariant_cnns() -> list[Workload]:
    """Uhrig's network by grid size and density, and the classifiers that were made of it."""
    network = invariant_cnn()
    by_grid = Curve(
        "Sparsity invariant CNN, 5 % of a depth map, batch 1, by grid size", "grid size"
    )
    by_density = Curve(
        "Sparsity invariant CNN, depth maps of 48x48, batch 1, by density", "density"
    )
    by_kept = Curve("Sparsity invariant CNN for MNIST, batch 32, by share of pixels", "density")
    return [
        *(
            cell(
                f"invariant-grid{grid}-depth-0.05",
                network,
                DepthMaps((grid, grid), 1, 0.05),
                curve=by_grid,
                position=grid,
            )
            for grid in DEPTH_GRIDS
        ),
        *(
            cell(
                f"invariant-grid48-depth-{density:.3g}",
                network,
                DepthMaps((48, 48), 1, density),
                curve=by_density,
                position=density,
            )
            for density in DEPTH_DENSITIES
        ),
        *(
            cell(
                f"invariant-mnist-{density:.3g}",
                invariant_mnist(),
                KeptDigits("mnist", 32, density),
                curve=by_kept,
                position=density,
            )
            for density in KEPT_DENSITIES
        ),
        cell(
            "invariant-caltech101-grid224-0.5",
            invariant_caltech101(),
            KeptPhotographs(224, 1, 0.5),
            channels=3,
        ),
        cell(
            "invariant-caltech101-grid96-uniform-0.5",
            invariant_caltech101(96),
            Uniform((96, 96), 1, 0.5),
            channels=3,
        ),
    ]


def _plain_vgg(levels: int, curve: Curve) -> Workload:
    grid_size = grid_of(levels)
    return cell(
        f"vgg-plain-{levels}-grid{grid_size[0]}-strokes",
        plain_vgg(levels, ASSAMESE_CLASSES),
        PenStrokes(grid_size, 2, (grid_size[0] + 1) // 3),
        curve=curve,
        position=grid_size[0],
    )
