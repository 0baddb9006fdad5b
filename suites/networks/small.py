"""One small network of every family, with the input that it takes: what conformance runs on."""

from bench.background import Background
from bench.conformance.networks import NamedNetwork
from bench.operators import Rule
from suites.networks import deepcnet, vgg
from suites.networks.cnn import small_cnn
from suites.networks.deepcnet import deep_cnet, deep_cnin, rising_dropout
from suites.networks.invariant import invariant_caltech101, invariant_cnn, invariant_mnist
from suites.networks.vgg import assamese_vgg, plain_vgg

ZERO = (Background.ZERO,)
BOTH = (Background.ZERO, Background.GROUND_STATE)


def conformance_networks() -> tuple[NamedNetwork, ...]:
    """One of every family, in 2D and, where there is one, in 3D."""
    flat, deep = deepcnet.grid_of(2), deepcnet.grid_of(2, dimensions=3)
    dropout = rising_dropout(2)
    return (
        NamedNetwork("deepcnet", deep_cnet(2, 3, 4), 1, flat, BOTH),
        NamedNetwork(
            "deepcnet-dropout", deep_cnet(2, 3, 4, channels=3, dropout=dropout), 3, flat, BOTH
        ),
        NamedNetwork("deepcnet-padded", deep_cnet(2, 3, 4, padded=True), 1, flat, ZERO),
        NamedNetwork("deepcnet-3d", deep_cnet(2, 2, 3, dimensions=3), 1, deep, BOTH),
        NamedNetwork(
            "deepcnet-3d-padded", deep_cnet(2, 2, 3, dimensions=3, padded=True), 1, deep, ZERO
        ),
        NamedNetwork("deepcnin", deep_cnin(2, 3, 4), 1, flat, BOTH),
        NamedNetwork("deepcnin-3d", deep_cnin(2, 2, 3, dimensions=3), 1, deep, BOTH),
        NamedNetwork("small-cnn", small_cnn(16, 4), 1, (16, 16), BOTH),
        NamedNetwork("vgg-plain", plain_vgg(1, 4), 1, vgg.grid_of(1), ZERO),
        NamedNetwork("vgg-twin", plain_vgg(1, 4, rule=Rule.FULL), 1, vgg.grid_of(1), ZERO),
        NamedNetwork("vgg-assamese", assamese_vgg(classes=4), 3, (95, 95), ZERO),
        NamedNetwork("invariant", invariant_cnn(filters=2), 1, (9, 8), ZERO),
        NamedNetwork("invariant-mnist", invariant_mnist(8, 4), 1, (8, 8), ZERO),
        NamedNetwork("invariant-caltech101", invariant_caltech101(16, 4), 3, (16, 16), ZERO),
    )
