"""`python -m tools.published`: write the documents' tables of speed from the run files in `results`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. With `--check` nothing is written, and
the exit code is 1 where a document differs from its run files.
"""

import argparse
import sys

from bench.phases import Phase
from tools.speed_tables import PROJECT, AgainstRivals, Column, SpeedUps, Table, filled

DOCUMENTS = ("README.md", "docs/networks.md", "docs/gather.md")
MACHINE = "results/intel-xeon-2-processors"
QUICK = f"{MACHINE}/quick-cpu.json"
NETWORKS = f"{MACHINE}/networks-cpu.json"
NETWORKS_LONG = f"{MACHINE}/networks-long-cpu.json"
LAYERS = f"{MACHINE}/layers-cpu.json"
LAYERS_LONG = f"{MACHINE}/layers-long-cpu.json"
REAL = f"{MACHINE}/real-cpu.json"
VOXELS = f"{MACHINE}/voxels-cpu.json"
VOXELS_DENSE = f"{MACHINE}/voxels-with-dense-cpu.json"
LIBRARIES = {"minkowski": "MinkowskiEngine", "spconv": "spconv"}


def _over_dense(phase: Phase, time: str = "`dense`") -> tuple[Column, ...]:
    names = {"gather": "`gather`"} | LIBRARIES
    return (
        Column(time, phase, "dense"),
        *(Column(title, phase, name, over="dense") for name, title in names.items()),
    )


def _themselves(*names: str) -> list[tuple[str, str]]:
    return [(name, name) for name in names]


def _the_same(workload: str, *percents: int) -> list[tuple[str, str]]:
    return [(f"the same, {percent} %", f"{workload}-{percent}%") for percent in percents]


OVERVIEW = SpeedUps(
    (QUICK, NETWORKS, NETWORKS_LONG),
    (
        *_over_dense(Phase.FORWARD_COLD, "`dense`, cold"),
        Column("`gather`, called once", Phase.FORWARD_COLD, "gather", over="dense", once=True),
    ),
    [
        (
            "2D, submanifold 3x3, 32 channels, grid 96, 1 % of sites",
            "2d-submanifold-k3-c32-grid96-uniform-1%",
        ),
        *_the_same("2d-submanifold-k3-c32-grid96-uniform", 5, 20, 50, 100),
        (
            "3D, submanifold 3x3x3, 16 channels, grid 32, 2 %",
            "3d-submanifold-k3-c16-grid32-uniform-2%",
        ),
        *_the_same("3d-submanifold-k3-c16-grid32-uniform", 10, 40),
        (
            "DeepCNet(5, 30), 32 Assamese characters, field of 96",
            "deepcnet-5-30-grid96-assamese-b32",
        ),
        ("3D DeepCNet(5, 8), a scanned scene, grid 96", "deepcnet3d-5-8-grid96-scan"),
        ("Assamese VGG, recordings", "vgg-assamese-grid95-assamese"),
        ("small CNN, MNIST", "cnn-small-grid28-mnist"),
        ("sparsity invariant CNN, MNIST, 30 % of pixels", "invariant-mnist-0.3"),
    ],
)

VOXEL_ROWS = [
    ("submanifold 3x3x3, 16 channels, b1", "3d-submanifold-k3-c16-b1"),
    ("the same, b8", "3d-submanifold-k3-c16-b8"),
    ("32 channels, b1", "3d-submanifold-k3-c32-b1"),
    ("the same, b4", "3d-submanifold-k3-c32-b4"),
    ("64 channels, b1", "3d-submanifold-k3-c64-b1"),
    ("128 channels, b1", "3d-submanifold-k3-c128-b1"),
    ("full 3x3x3, stride 2, 16 to 32 channels, b4", "3d-full-k3s2-c16to32-b4"),
    ("down and up 2x2x2, 16 channels, b4", "3d-down-and-up-k2s2-c16-b4"),
    ("the same, 64 channels", "3d-down-and-up-k2s2-c64-b4"),
    ("max pooling 2x2x2, 16 channels, b4", "3d-maxpool-k2s2-c16-b4"),
    ("the same, 64 channels", "3d-maxpool-k2s2-c64-b4"),
    ("spconv's own scene, 80x1600x1600, 16 channels", "spconv-submanifold-k3-c16-grid80x1600x1600"),
]

TABLES: dict[str, Table] = {
    "overview": OVERVIEW,
    "networks-cold": SpeedUps(
        (NETWORKS, NETWORKS_LONG),
        _over_dense(Phase.FORWARD_COLD),
        _themselves(
            "deepcnet-3-30-grid24-strokes-b2",
            "deepcnet-4-30-grid48-strokes-b2",
            "deepcnet-5-30-grid96-strokes-b2",
            "deepcnet-6-30-grid192-strokes-b2",
            "deepcnet-7-30-grid384-strokes-b2",
            "deepcnet-8-30-grid768-strokes-b2",
            "deepcnet-5-30-grid96-assamese-b32",
            "deepcnet-7-30-grid384-assamese-b32",
            "deepcnet-5-30-grid96-strokes-b2-ground",
            "deepcnet-5-60-dropout-grid96-mnist",
            "deepcnin-5-30-grid96-strokes",
            "deepcnet3d-5-8-grid96-assamese",
            "deepcnet3d-5-8-grid96-scan",
            "deepcnet3d-4-8-grid48-shell",
            "vgg-plain-3-grid47-strokes",
            "vgg-plain-4-grid95-strokes",
            "vgg-plain-5-grid191-strokes",
            "vgg-plain-6-grid383-strokes",
            "vgg-twin-4-grid95-strokes",
            "vgg-assamese-grid95-strokes",
            "vgg-assamese-grid95-assamese",
            "cnn-small-grid28-mnist",
            "cnn-small-grid28-mnist-ground",
            "cnn-small-grid48-assamese",
            "cnn-small-grid48-assamese-ground",
            "invariant-mnist-0.1",
            "invariant-mnist-0.3",
            "invariant-mnist-0.5",
            "invariant-grid128-depth-0.05",
        ),
    ),
    "networks-training": SpeedUps(
        (NETWORKS, NETWORKS_LONG),
        _over_dense(Phase.TRAIN_STEP),
        _themselves(
            "deepcnet-5-30-grid96-assamese-b32",
            "deepcnet-7-30-grid384-assamese-b32",
            "deepcnet-8-30-grid768-strokes-b2",
            "vgg-assamese-grid95-strokes",
            "vgg-assamese-grid95-assamese",
            "cnn-small-grid28-mnist",
            "invariant-mnist-0.1",
            "invariant-mnist-0.3",
            "invariant-mnist-0.5",
        ),
    ),
    "networks-rivals": AgainstRivals((NETWORKS, NETWORKS_LONG)),
    "layers-rivals": AgainstRivals((LAYERS, LAYERS_LONG)),
    "voxels": SpeedUps(
        (VOXELS, VOXELS_DENSE),
        (
            Column("`forward`, gather", Phase.FORWARD, "gather"),
            Column("over dense", Phase.FORWARD, "gather", over="dense"),
            Column("over MinkowskiEngine", Phase.FORWARD, "gather", over="minkowski"),
            Column("over spconv", Phase.FORWARD, "gather", over="spconv"),
            Column("`forward_cold`, over spconv", Phase.FORWARD_COLD, "gather", over="spconv"),
            Column("`train_step`, over spconv", Phase.TRAIN_STEP, "gather", over="spconv"),
        ),
        VOXEL_ROWS,
    ),
    "voxels-rivals": AgainstRivals((VOXELS, VOXELS_DENSE)),
    "fine-scene": SpeedUps(
        (REAL,),
        tuple(
            Column(f"`{phase}`, over {LIBRARIES[name]}", phase, "gather", over=name)
            for phase in (Phase.FORWARD_COLD, Phase.TRAIN_STEP)
            for name in LIBRARIES
        ),
        [
            (
                "submanifold 3x3x3, 16 channels, 80x1600x1600",
                "spconv-submanifold-k3-c16-grid80x1600x1600",
            ),
            ("the same, 160x3200x3200", "spconv-submanifold-k3-c16-grid160x3200x3200"),
            (
                "full 3x3x3, stride 2, 16 to 32 channels, 80x1600x1600",
                "spconv-full-k3s2-c16to32-grid80x1600x1600",
            ),
            ("the same, 160x3200x3200", "spconv-full-k3s2-c16to32-grid160x3200x3200"),
        ],
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Write or check all documents."""
    parser = argparse.ArgumentParser(prog="python -m tools.published", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args(arguments)
    stale = []
    for document in DOCUMENTS:
        path = PROJECT / document
        text = path.read_text(encoding="utf-8")
        if (new := filled(text, TABLES)) != text:
            stale.append(document)
            if not given.check:
                path.write_text(new, encoding="utf-8")
    for document in stale:
        print(f"{document}: {'differs from its run files' if given.check else 'written'}")  # noqa: T201
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
