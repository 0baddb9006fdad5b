"""Sparsity invariant against ordinary convolution, on pictures of which pixels are dropped.

Trained and tested at the same sparsity; in the end tested at all the others, too.
"""

from collections.abc import Iterator

from bench.operators import Rule
from bench.results.accuracy import Published
from bench.training.experiment import Experiment
from suites.accuracy.digits import KeptDigits
from suites.accuracy.entry import FEW_DIGITS, REPRODUCTION, Entry, adam
from suites.accuracy.photographs import KeptPhotographs
from suites.networks.invariant import invariant_caltech101, invariant_mnist

PHOTOGRAPH = 64
SMALL_PHOTOGRAPH = 32
PHOTOGRAPH_LAYERS = ((16, 5), (32, 3), (64, 3), (128, 3), (256, 3))
"""Filters and kernel of each convolution. ..."""
PHOTOGRAPH_HIDDEN = (256,)
PHOTOGRAPH_DROPOUT = 0.4
"""... A linear layer follows, some of whose outputs are dropped out, and the classifier."""
PHOTOGRAPH_GAIN = 1 / 3
"""Torch's own layers start from this variance. With 2, the classifier has to forget its first guesses
first: batch norms keep all other layers from telling the difference."""
MNIST_ACCURACY = {
    50: (94.59, 95.07),
    60: (94.39, 94.17),
    70: (92.77, 90.43),
    80: (86.09, 85.32),
    90: (76.23, 69.27),
}
"""Of the sparsity invariant and the ordinary network, by percent of pixels dropped."""
CALTECH_ACCURACY = {
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


def experiments() -> Iterator[Entry]:
    """On MNIST and on Caltech-101, by sparsity, for both convolutions."""
    for sparsity, accuracies in MNIST_ACCURACY.items():
        for kind, accuracy in zip(RULES, accuracies, strict=True):
            yield Entry(
                _digits(kind, sparsity, accuracy, small=False),
                _digits(kind, sparsity, accuracy, small=True),
            )
    for sparsity, accuracies in CALTECH_ACCURACY.items():
        for kind, accuracy in zip(RULES, accuracies, strict=True):
            yield Entry(
                _photographs(kind, sparsity, accuracy, small=False),
                _photographs(kind, sparsity, accuracy, small=True),
            )


def _digits(kind: str, sparsity: int, accuracy: float, *, small: bool) -> Experiment:
    every = FEW_DIGITS if small else 1
    return Experiment(
        name=f"mnist-{kind}-{sparsity}",
        description=f"{kind} convolution on MNIST, {sparsity} % of the pixels dropped",
        network=invariant_mnist(rule=RULES[kind]),
        source=KeptDigits(sparsity / 100, every),
        schedule=adam(5, 5e-3, 64) if small else adam(20, 5e-3),
        implementation="dense",
        published=_published(accuracy),
        also_tested=tuple(
            (f"{other} %", KeptDigits(other / 100, every)) for other in MNIST_ACCURACY
        ),
    )


def _photographs(kind: str, sparsity: int, accuracy: float, *, small: bool) -> Experiment:
    grid = SMALL_PHOTOGRAPH if small else PHOTOGRAPH
    return Experiment(
        name=f"caltech101-{kind}-{sparsity}",
        description=f"{kind} convolution on Caltech-101, {sparsity} % of the pixels dropped",
        network=invariant_caltech101(
            grid,
            layers=PHOTOGRAPH_LAYERS,
            hidden=PHOTOGRAPH_HIDDEN,
            dropout=PHOTOGRAPH_DROPOUT,
            rule=RULES[kind],
        ),
        source=KeptPhotographs(grid, sparsity / 100, shift=grid // 10, mirrored=True),
        schedule=adam(5 if small else 20, 2e-3, 64),
        implementation="dense",
        gain=PHOTOGRAPH_GAIN,
        published=_published(accuracy),
        also_tested=tuple(
            (f"{other} %", KeptPhotographs(grid, other / 100)) for other in CALTECH_ACCURACY
        ),
    )


def _published(accuracy: float) -> tuple[Published, ...]:
    return (Published(round(100 - accuracy, 2), REPRODUCTION),)
