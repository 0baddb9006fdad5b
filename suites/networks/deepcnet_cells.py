"""DeepCNet and DeepCNiN in suite `networks`: over grid sizes, characters, batches, filters, in 3D."""

from bench.workload import Workload
from suites.inputs import Scene
from suites.networks.cells import Curve, cell, in_ground_state
from suites.networks.characters import AssameseCharacters, SpaceTimeRecordings, SpaceTimeStrokes
from suites.networks.deepcnet import deep_cnet, deep_cnin, grid_of, rising_dropout
from suites.networks.pictures import InkImages
from suites.networks.vgg import ASSAMESE_CLASSES
from suites.patterns import PenStrokes, Shell, Uniform

DIGITS = 10
LARGE_BATCH = 32
LEVELS, LEVELS_3D = (3, 4, 5, 6, 7, 8), (2, 3, 4, 5)
CHARACTERS = (1, 5, 20, 50)
BATCH_SIZES = (1, 8, LARGE_BATCH, 128)
FILTERS = (10, 30, 60, 100)
DENSITIES = (0.01, 0.05, 0.2, 0.5)


def by_grid_size() -> list[Workload]:
    """Graham's case: the same drawing at doubled scale, on DeepCNet(l, 30) and l + 1."""
    curve = Curve(
        "DeepCNet(l, 30), one character in pen strokes, batch 2, by grid size", "grid size"
    )
    found = [_on_strokes(levels, 30, 2, curve, grid_of(levels)[0]) for levels in LEVELS]
    return [*found, *in_ground_state(found[:-1])]


def in_large_batches() -> list[Workload]:
    """Recorded characters on fields of 96 and 384, 32 at a time; drawn ones on the larger, for 8.

    The drawn ones stand in where there is no data; `by_batch_size` has those on a field of 96.
    """
    found = []
    for levels in (5, 7):
        grid = grid_of(levels)[0]
        recorded = cell(
            f"deepcnet-{levels}-30-grid{grid}-assamese-b{LARGE_BATCH}",
            deep_cnet(levels, 30, ASSAMESE_CLASSES, channels=3),
            AssameseCharacters(grid, grid // 3, LARGE_BATCH),
            channels=3,
        )
        found.append(recorded)
    return [*found, *in_ground_state(found[:1]), _on_strokes(7, 30, 8)]


def by_characters() -> list[Workload]:
    """More and more characters on the same field."""
    curve = Curve("DeepCNet(6, 30), grid 192, pen strokes, batch 4, by characters", "characters")
    network = deep_cnet(6, 30, ASSAMESE_CLASSES)
    return [
        cell(
            f"deepcnet-6-30-grid192-strokes-{number}-characters",
            network,
            PenStrokes((192, 192), 4, 32, number),
            curve=curve,
            position=number,
        )
        for number in CHARACTERS
    ]


def by_density() -> list[Workload]:
    """Sites without any structure."""
    curve = Curve("DeepCNet(5, 30), grid 96, uniform, batch 4, by density", "density")
    network = deep_cnet(5, 30, ASSAMESE_CLASSES)
    return [
        cell(
            f"deepcnet-5-30-grid96-uniform-{density:.3g}",
            network,
            Uniform((96, 96), 4, density),
            curve=curve,
            position=density,
        )
        for density in DENSITIES
    ]


def by_batch_size() -> list[Workload]:
    """One character a field."""
    curve = Curve(
        "DeepCNet(5, 30), grid 96, one character in pen strokes, by batch size", "batch size"
    )
    return [_on_strokes(5, 30, size, curve, size) for size in BATCH_SIZES]


def by_filters() -> list[Workload]:
    """The widths that the paper compares."""
    curve = Curve("DeepCNet(5, k), grid 96, one character in pen strokes, batch 4, by k", "k")
    return [_on_strokes(5, filters, 4, curve, filters) for filters in FILTERS]


def on_digits() -> list[Workload]:
    """MNIST in the middle of a field of 96, as the paper has it; the bundled digits on one of 24."""
    found = [
        cell("deepcnet-5-10-grid96-mnist", deep_cnet(5, 10, DIGITS), InkImages("mnist", 96, 32)),
        cell("deepcnet-3-10-grid24-digits", deep_cnet(3, 10, DIGITS), InkImages("digits", 24, 32)),
    ]
    wide = deep_cnet(5, 60, DIGITS, dropout=rising_dropout(5))
    return [
        *found,
        *in_ground_state(found),
        cell("deepcnet-5-60-dropout-grid96-mnist", wide, InkImages("mnist", 96, 8)),
    ]


def relatives() -> list[Workload]:
    """The reproduction's padded network, and networks in networks."""
    strokes = PenStrokes((96, 96), 8, 32)
    padded = deep_cnet(5, 30, ASSAMESE_CLASSES, padded=True)
    reproduced = deep_cnet(5, 10, DIGITS, padded=True, dropout=rising_dropout(5))
    nin = cell("deepcnin-5-30-grid96-strokes", deep_cnin(5, 30, ASSAMESE_CLASSES), strokes)
    return [
        cell("deepcnet-padded-5-30-grid96-strokes", padded, strokes),
        cell("deepcnet-padded-5-10-dropout-grid96-mnist", reproduced, InkImages("mnist", 96, 32)),
        nin,
        *in_ground_state([nin]),
    ]


def in_3d() -> list[Workload]:
    """Space-time strokes by grid size, recorded ones, a surface, scanned points."""
    curve = Curve(
        "3D DeepCNet(l, 4), one character in space-time strokes, batch 1, by grid size", "grid size"
    )
    found = [_on_space_time_strokes(levels, curve) for levels in LEVELS_3D]
    wide = deep_cnet(5, 8, ASSAMESE_CLASSES, dimensions=3)
    surface = deep_cnet(4, 8, DIGITS, dimensions=3)
    scan = Scene("small_gicp_source", 0.5, (96, 96, 96))
    return [
        *found,
        *in_ground_state(found),
        cell("deepcnet3d-5-8-grid96-assamese", wide, SpaceTimeRecordings(96, 32, 1)),
        cell("deepcnet3d-4-8-grid48-shell", surface, Shell((48, 48, 48), 2)),
        cell("deepcnet3d-5-8-grid96-scan", wide, scan),
    ]


def _on_strokes(
    levels: int,
    filters: int,
    batch_size: int,
    curve: Curve | None = None,
    position: float = 0.0,
) -> Workload:
    """One character in the middle third of the field, as Graham draws it."""
    grid_size = grid_of(levels)
    return cell(
        f"deepcnet-{levels}-{filters}-grid{grid_size[0]}-strokes-b{batch_size}",
        deep_cnet(levels, filters, ASSAMESE_CLASSES),
        PenStrokes(grid_size, batch_size, grid_size[0] // 3),
        curve=curve,
        position=position,
    )


def _on_space_time_strokes(levels: int, curve: Curve) -> Workload:
    grid = grid_of(levels)[0]
    return cell(
        f"deepcnet3d-{levels}-4-grid{grid}-strokes",
        deep_cnet(levels, 4, ASSAMESE_CLASSES, dimensions=3),
        SpaceTimeStrokes(grid, grid // 3, 1),
        curve=curve,
        position=grid,
    )
