"""Digits with all of their pixels: DeepCNet and the small CNN."""

from collections.abc import Iterator

from bench.results.accuracy import Published
from bench.training.experiment import Experiment
from suites.accuracy.digits import BundledDigits, InkDigits
from suites.accuracy.entry import FEW_DIGITS, REPRODUCTION, Entry, adam
from suites.networks.cnn import small_cnn
from suites.networks.deepcnet import deep_cnet, rising_dropout

GRAHAM = "Graham 2014"
DIGITS = 10


def experiments() -> Iterator[Entry]:
    """On MNIST, and on the digits that need no download."""
    yield _deepcnet(10, Published(0.58, GRAHAM), Published(0.86, REPRODUCTION))
    yield _deepcnet(60, Published(0.31, GRAHAM), Published(0.67, REPRODUCTION), dropout=True)
    yield _small_cnn()
    yield _bundled()


def _deepcnet(filters: int, *published: Published, dropout: bool = False) -> Entry:
    network = deep_cnet(5, filters, DIGITS, dropout=rising_dropout(5) if dropout else ())
    with_dropout = " with dropout" if dropout else ""
    name = f"mnist-deepcnet-5-{filters}"
    text = f"DeepCNet(5, {filters}){with_dropout} on MNIST, 96x96, shifts up to 2 pixels"
    full, few = InkDigits(96, shift=2), InkDigits(96, shift=2, every=FEW_DIGITS)
    large, small = adam(30, 2e-3, 128), adam(3, 2e-3, 64)
    return Entry(
        Experiment(
            name, text, network, full, large, published=tuple(published), target_percent=0.7
        ),
        Experiment(name, text, network, few, small, published=tuple(published), target_percent=5.0),
    )


def _small_cnn() -> Entry:
    name, text = "mnist-cnn-small", "small CNN on MNIST, 28x28, no augmentation"
    published = (Published(2.0, f"{REPRODUCTION}, about"),)
    network = small_cnn(28, DIGITS)
    full, few = InkDigits(28), InkDigits(28, every=FEW_DIGITS)
    large, small = adam(10), adam(3, batch_size=64)
    return Entry(
        Experiment(name, text, network, full, large, "dense", published, target_percent=2.0),
        Experiment(name, text, network, few, small, "dense", published, target_percent=10.0),
    )


def _bundled() -> Entry:
    name = "digits-deepcnet-3-10"
    text = "DeepCNet(3, 10) on scikit-learn's 8x8 digits, 24x24, shifts by 1 pixel: no download"
    network, source = deep_cnet(3, 10, DIGITS), BundledDigits(24, shift=1)
    return Entry(
        Experiment(name, text, network, source, adam(30, 3e-3, 64), target_percent=5.0),
        Experiment(name, text, network, source, adam(3, 3e-3, 64), target_percent=20.0),
    )
