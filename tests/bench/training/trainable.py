"""Small experiments that train in no time, for the tests of training."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from bench.background import Background
from bench.batch import SparseBatch, from_dense
from bench.plugins.implementations import choose, load
from bench.results.accuracy import TrainingSettings
from bench.training.experiment import Decay, Experiment, Optimizer, Samples, Schedule
from bench.training.processes import Group
from bench.training.training import Training
from suites.networks.deepcnet import deep_cnet
from suites.networks.small import conformance_networks

SGD = Schedule(2, 8, Optimizer.SGD, 0.05, Decay.COSINE, warm_up=0.1)
ADAM = Schedule(2, 8, Optimizer.ADAM, 0.01)


@dataclass(frozen=True)
class Corners:
    """Random sites, most of them in the corner that is the class; shifted at random to train on."""

    grid: int = 12
    train_samples: int = 50
    channels: int = 1
    version: ClassVar[int] = 1
    classes: ClassVar[int] = 4

    @property
    def grid_size(self):
        return (self.grid, self.grid)

    def load(self, *, train, skip_broken=False):
        return _Corners(self, self.train_samples if train else 20, train)


class _Corners(Samples):
    def __init__(self, source, count, train):
        generator = np.random.default_rng(int(train))
        self.source, self.shift = source, int(train)
        self.labels = generator.integers(source.classes, size=count)
        half = source.grid // 2
        places = generator.random((count, 10, 2)) * (half - 2) + 1
        self.places = places.astype(np.int64) + half * np.stack(
            [self.labels // 2, self.labels % 2], axis=1
        ).reshape(count, 1, 2)

    def draw(self, count, generator):
        return generator.integers(-self.shift, self.shift, (count, 2), endpoint=True).astype("f4")

    def batch(self, indices, drawn):
        sites = self.places[indices] + drawn[:, None].astype(np.int64)
        rows = [
            np.insert(np.unique(each, axis=0), 0, number, axis=1)
            for number, each in enumerate(sites)
        ]
        coordinates = torch.from_numpy(np.concatenate(rows).astype(np.int32))
        features = torch.ones((len(coordinates), self.source.channels))
        return SparseBatch(coordinates, features, len(indices), self.source.grid_size)


@dataclass(frozen=True)
class BrokenCorners(Corners):
    """Corners of which some were broken."""

    def load(self, *, train, skip_broken=False):
        samples = super().load(train=train)
        names = ("a", "b", "c", "d") if train else ("e", "f\x1b")
        samples.left_out = names if skip_broken else ()
        return samples


@dataclass(frozen=True)
class WholePictures(Corners):
    """Every site is active: 1 where `Corners` has sites, -1 elsewhere."""

    def load(self, *, train, skip_broken=False):
        return _WholePictures(self, self.train_samples if train else 20, train)


class _WholePictures(_Corners):
    def batch(self, indices, drawn):
        few = super().batch(indices, drawn)
        values = 2.0 * few.mask() - 1
        return from_dense(values, torch.ones_like(few.mask()))


def corners(schedule=SGD, **changes):
    experiment = Experiment("corners", "sites", deep_cnet(2, 3, 4), Corners(), schedule)
    return replace(experiment, **changes)


def with_everything():
    """Batch norm, ways down and back, dropout: all that a network can carry along."""
    known = {each.name: each.network for each in conformance_networks()}
    vgg = corners(network=known["vgg-assamese"], source=Corners(95, 16, channels=3))
    dropout = corners(ADAM, network=known["deepcnet-dropout"], source=Corners(channels=3))
    return {"vgg": vgg, "dropout": dropout}


def implementation(name="gather"):
    return load(choose([name])[0][0])


def settings_of(experiment, name="gather", **changes):
    settings = TrainingSettings(
        experiment=experiment.name,
        version=experiment.version(),
        small=False,
        implementation=name,
        implementation_version=str(implementation(name).version),
        background=Background(experiment.background),
        dtype="float32",
        device="cpu",
        seed=0,
        epochs=experiment.schedule.epochs,
    )
    return replace(settings, **changes)


def training(experiment, name="gather", **changes):
    settings = settings_of(experiment, name, **changes)
    return Training(experiment, implementation(name), settings, Group())


def nothing(*_):
    pass


def curve(epochs):
    """What of an epoch is the same every time: all but the times."""
    return [
        (each.learning_rate, each.train_loss, each.train_error, each.test_loss, each.test_error)
        for each in epochs
    ]
