"""Accuracy run files without any training, for the tests of what is made of them."""

import struct
import zlib

from bench.background import Background
from bench.results.accuracy import (
    AccuracyRun,
    ActiveSites,
    Epoch,
    Picture,
    Published,
    TrainingSettings,
)
from bench.results.schema import Machine

PAPER = Published(0.58, "Graham 2014")
SITES = (ActiveSites("input", 10, 1000), ActiveSites("conv1", 600, 900), ActiveSites("end", 1, 1))


def trained(
    error,
    seed=0,
    *,
    experiment="mnist",
    small=False,
    implementation="gather",
    planned=2,
    epoch_seconds=60.0,
    definition=None,
    settings=None,
    joules=None,
    **changes,
):
    """A training of two epochs that ends at an error in percent, from twice that."""
    decided = TrainingSettings(
        **{
            "experiment": experiment,
            "version": "small" if small else "full",
            "small": small,
            "implementation": implementation,
            "implementation_version": "2",
            "background": Background.ZERO,
            "dtype": "float32",
            "device": "cpu",
            "seed": seed,
            "epochs": 2,
        }
        | (settings or {})
    )
    epochs = tuple(
        Epoch(
            *(number, 0.1, 1.0, 0.1, 1.0, each / 100),
            *(epoch_seconds, 1.0, epoch_seconds * 5 / 6, 3.0, joules),
        )
        for number, each in ((1, 2 * error), (2, error))
    )
    given = {
        "id": f"{experiment}-{implementation}-{seed}-{small}-{error}",
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "",
        "command": ("sparsebench", "train", experiment, "--seed", str(seed)),
        "commit": "abc",
        "machine": Machine("m", {}),
        "settings": decided,
        "description": "",
        "definition": {"schedule": {"epochs": planned}} | (definition or {}),
        "parameters": 1,
        "train_samples": 1,
        "test_samples": 10_000,
        "first_losses": (),
        "epochs": epochs,
        "also_tested": {},
        "resumed": 0,
        "weights_sha256": "",
        "checkpoint_sha256": "",
        "published": (PAPER,),
        "target_percent": 0.7,
    }
    return AccuracyRun(**(given | changes))


def dropped(kind, percent, error, **changes):
    """A training with pixels dropped, tested at 50 and 90 % too: worse by 1 and by 9 there."""
    rule = "sparsity_invariant" if kind == "invariant" else "full"
    definition = {
        "network": {"layers": [{"operator": {"rule": rule}}, {"operator": {}}]},
        "source": {"sparsity": percent / 100},
    }
    tested = {"50 %": (error + 1) / 100, "90 %": (error + 9) / 100, f"{percent} %": error / 100}
    changes = {"also_tested": dict(sorted(tested.items()))} | changes
    name = f"mnist-{kind}-{percent}"
    return trained(error, experiment=name, definition=definition, **changes)


def scaled(level, kind, error, **changes):
    """A training on characters of 2 to the power of `level` pixels."""
    motion = {"none": (0, 0), "translations": (4, 0), "affine": (4, 0.3)}[kind]
    source = {
        "scale": 2**level,
        "motion": dict(zip(("shift", "bending", "stretching"), (*motion, 0), strict=True)),
    }
    name = f"assamese-deepcnet-{level}-30-{kind}"
    return trained(error, experiment=name, definition={"source": source}, **changes)


def picture(label=3):
    """One transparent pixel."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(5))),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return Picture(label, (28, 28), b"\x89PNG\r\n\x1a\n" + body)
