"""The experiments of the papers and of their reproductions, full and small, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.errors import UserError
from bench.operators import Rule
from bench.results.accuracy import Published
from bench.training.experiment import Decay, Experiment, Optimizer, Schedule
from suites.accuracy.characters import STILL, AssameseStrokes, Motion
from suites.accuracy.digits import InkDigits, KeptDigits
from suites.accuracy.photographs import KeptPhotographs
from suites.networks.cnn import small_cnn
from suites.networks.deepcnet import deep_cnet, rising_dropout
from suites.networks.invariant import invariant_caltech101, invariant_mnist
from suites.networks.vgg import assamese_vgg

GRAHAM = "Graham 2014"
SLIDES = "Graham's slides"
REPRODUCTION = "reproduction"
EXAMPLE = "SparseConvNet's example"

FEW_DIGITS = 6
"""A small version trains on every sixth digit, ..."""
FEW_CHARACTERS = 6
"""... on every sixth of the 183 characters, ..."""
SMALL_PHOTOGRAPH = 64
"""... on photographs of 64x64."""
PHOTOGRAPH = 224

LEVELS_PUBLISHED = {
    3: (51.4, 38.3, 35.2),
    4: (26.8, 9.29, 7.47),
    5: (18.2, 5.28, 2.73),
    6: (14.1, 4.61, 1.76),
    7: (13.8, 4.07, 1.70),
}
"""Test errors of DeepCNet(l, 30) without augmentation, with translations, with affine maps."""
KINDS_OF_MOTION = ("none", "translations", "affine")
MNIST_SPARSITY = {
    50: (94.59, 95.07),
    60: (94.39, 94.17),
    70: (92.77, 90.43),
    80: (86.09, 85.32),
    90: (76.23, 69.27),
}
"""Accuracies of the sparsity invariant and the ordinary network, by percent of pixels dropped."""
CALTECH_SPARSITY = {
    5: (62.80, 43.93),
    10: (61.98, 41.90),
    20: (61.29, 40.34),
    30: (62.68, 39.18),
    40: (60.65, 38.83),
    50: (60.94, 38.07),
    60: (59.32, 38.60),
    70: (59.26, 37.84),
}
RULES = {"invariant": Rule.SPARSITY_INVARIANT, "ordinary": Rule.FULL}


@dataclass(frozen=True)
class Entry:
    """An experiment, and a version of it that takes minutes and ranks the alternatives alike."""

    full: Experiment
    small: Experiment


def entries() -> tuple[Entry, ...]:
    """All experiments."""
    return (
        *_digits(),
        *_handwriting(),
        *_deepcnets_on_handwriting(),
        *_sparse_digits(),
        *_sparse_photographs(),
    )


def find(name: str, *, small: bool = False) -> Experiment:
    """Return an experiment by name.

    Raises:
        UserError: if there is none.
    """
    found = {entry.full.name: entry for entry in entries()}
    if name not in found:
        raise UserError(f"there is no experiment {name!r}; `sparsebench train --list` shows them")
    return found[name].small if small else found[name].full


def _adam(epochs: int, rate: float = 1e-3, batch_size: int = 256) -> Schedule:
    return Schedule(epochs, batch_size, Optimizer.ADAM, rate, Decay.COSINE, warm_up=0.1)


def _motion(kind: str, scale: int) -> Motion:
    """Strokes of characters of a scale, moved as far as one still reads them."""
    match kind:
        case "none":
            return STILL
        case "translations":
            return Motion(shift=scale / 4)
        case _:
            return Motion(shift=scale / 4, bending=0.3, stretching=0.2)


def _digits() -> Iterator[Entry]:
    for filters, dropout, paper, reproduced in ((10, False, 0.58, 0.86), (60, True, 0.31, 0.67)):
        published = (Published(paper, GRAHAM), Published(reproduced, REPRODUCTION))
        network = deep_cnet(5, filters, 10, dropout=rising_dropout(5) if dropout else ())
        with_dropout = " with dropout" if dropout else ""
        name = f"mnist-deepcnet-5-{filters}"
        text = f"DeepCNet(5, {filters}){with_dropout} on MNIST, 96x96, shifts up to 2 pixels"
        yield Entry(
            Experiment(
                name,
                text,
                network,
                InkDigits(96, shift=2),
                _adam(30, 2e-3, 128),
                published=published,
                target_percent=0.7,
            ),
            Experiment(
                name,
                text,
                network,
                InkDigits(96, shift=2, every=FEW_DIGITS),
                _adam(3, 2e-3, 64),
                published=published,
                target_percent=5.0,
            ),
        )
    name, text = "mnist-cnn-small", "small CNN on MNIST, 28x28, no augmentation"
    about = (Published(2.0, f"{REPRODUCTION}, about"),)
    network = small_cnn(28, 10)
    yield Entry(
        Experiment(name, text, network, InkDigits(28), _adam(10), "dense", about, (), 2.0),
        Experiment(
            name,
            text,
            network,
            InkDigits(28, every=FEW_DIGITS),
            _adam(3, batch_size=64),
            "dense",
            about,
            (),
            10.0,
        ),
    )


def _handwriting() -> Iterator[Entry]:
    few = len(range(0, 183, FEW_CHARACTERS))
    name, text = "assamese-cnn-small", "small CNN on Assamese characters, 48x48, no augmentation"
    published = (Published(40.0, f"{REPRODUCTION}, about"),)
    yield Entry(
        Experiment(
            name,
            text,
            small_cnn(48, 183),
            AssameseStrokes(48, 48, 1),
            _adam(20, batch_size=64),
            "dense",
            published,
            (),
            40.0,
        ),
        Experiment(
            name,
            text,
            small_cnn(48, few),
            AssameseStrokes(48, 48, 1, every=FEW_CHARACTERS),
            _adam(10, batch_size=32),
            "dense",
            published,
            (),
            40.0,
        ),
    )
    name = "assamese-vgg"
    text = (
        "submanifold VGG on Assamese characters, 95x95, sheared or rotated, shifted up to 8 pixels"
    )
    motion = Motion(shift=8, bending=0.2)
    published = (Published(1.5, f"{EXAMPLE}, 20 epochs of 10 passes"),)

    def schedule(epochs: int) -> Schedule:
        return Schedule(
            epochs, 108, Optimizer.SGD, 0.1, Decay.COSINE, warm_up=0.05, weight_decay=1e-4
        )

    yield Entry(
        Experiment(
            name,
            text,
            assamese_vgg(),
            AssameseStrokes(95, 63, 3, motion),
            schedule(60),
            published=published,
            target_percent=2.0,
        ),
        Experiment(
            name,
            text,
            assamese_vgg(few),
            AssameseStrokes(95, 63, 3, motion, every=FEW_CHARACTERS),
            schedule(10),
            published=published,
            target_percent=10.0,
        ),
    )


def _deepcnets_on_handwriting() -> Iterator[Entry]:
    few = len(range(0, 183, FEW_CHARACTERS))
    for levels, errors in LEVELS_PUBLISHED.items():
        for kind, error in zip(KINDS_OF_MOTION, errors, strict=True):
            scale = 2**levels
            grid = 3 * scale
            name = f"assamese-deepcnet-{levels}-30-{kind}"
            text = (
                f"DeepCNet({levels}, 30) on Assamese characters of {scale} pixels, {grid}x{grid}, "
                f"augmentation: {kind}"
            )
            published = (Published(error, SLIDES),)
            moved = _motion(kind, scale)
            yield Entry(
                Experiment(
                    name,
                    text,
                    deep_cnet(levels, 30, 183),
                    AssameseStrokes(grid, scale, 1, moved),
                    _adam(100, batch_size=64),
                    published=published,
                    target_percent=error,
                ),
                Experiment(
                    name,
                    text,
                    deep_cnet(levels, 30, few),
                    AssameseStrokes(grid, scale, 1, moved, FEW_CHARACTERS),
                    _adam(20, batch_size=32),
                    published=published,
                ),
            )


def _sparse_digits() -> Iterator[Entry]:
    for sparsity, accuracies in MNIST_SPARSITY.items():
        for (kind, rule), accuracy in zip(RULES.items(), accuracies, strict=True):
            name = f"mnist-{kind}-{sparsity}"
            text = f"{kind} convolution on MNIST, {sparsity} % of the pixels dropped"
            published = (Published(round(100 - accuracy, 2), REPRODUCTION),)
            network = invariant_mnist(rule=rule)
            yield Entry(
                Experiment(
                    name,
                    text,
                    network,
                    KeptDigits(sparsity / 100),
                    _adam(20, 5e-3),
                    "dense",
                    published,
                    tuple((f"{other} %", KeptDigits(other / 100)) for other in MNIST_SPARSITY),
                ),
                Experiment(
                    name,
                    text,
                    network,
                    KeptDigits(sparsity / 100, FEW_DIGITS),
                    _adam(5, 5e-3, 64),
                    "dense",
                    published,
                    tuple(
                        (f"{other} %", KeptDigits(other / 100, FEW_DIGITS))
                        for other in MNIST_SPARSITY
                    ),
                ),
            )


def _sparse_photographs() -> Iterator[Entry]:
    for sparsity, accuracies in CALTECH_SPARSITY.items():
        for (kind, rule), accuracy in zip(RULES.items(), accuracies, strict=True):
            name = f"caltech101-{kind}-{sparsity}"
            text = f"{kind} convolution on Caltech-101, {sparsity} % of the pixels dropped"
            published = (Published(round(100 - accuracy, 2), REPRODUCTION),)

            def version(
                grid: int,
                schedule: Schedule,
                *,
                rule: Rule = rule,
                sparsity: int = sparsity,
                name: str = name,
                text: str = text,
                published: tuple[Published, ...] = published,
            ) -> Experiment:
                return Experiment(
                    name,
                    text,
                    invariant_caltech101(grid, rule=rule),
                    KeptPhotographs(grid, sparsity / 100),
                    schedule,
                    "dense",
                    published,
                    tuple(
                        (f"{other} %", KeptPhotographs(grid, other / 100))
                        for other in CALTECH_SPARSITY
                    ),
                )

            yield Entry(
                version(PHOTOGRAPH, _adam(60, batch_size=64)),
                version(SMALL_PHOTOGRAPH, _adam(10, batch_size=64)),
            )
