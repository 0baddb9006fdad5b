"""The networks are what the papers say: shapes, multiply-adds, parameters, and equal on everything."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.background import Background
from bench.build import BuiltNetwork, initial_weights
from bench.cost import network_cost
from bench.errors import UserError
from bench.ground_state import why_no_ground_state
from bench.network import Layer, Network
from bench.operators import Convolution, Linear, Rectifier, convolution
from impls.dense import Dense
from impls.gather import Gather
from impls.masked import Masked
from suites.networks import deepcnet, vgg
from suites.networks.cnn import small_cnn
from suites.networks.deepcnet import deep_cnet, deep_cnin, rising_dropout
from suites.networks.invariant import (
    KERNELS,
    invariant_caltech101,
    invariant_cnn,
    invariant_mnist,
)
from suites.networks.small import conformance_networks
from suites.networks.vgg import assamese_vgg, plain_vgg

CPU = torch.device("cpu")
SMALL = {small.name: small for small in conformance_networks()}
every_small_network = pytest.mark.parametrize("small", SMALL.values(), ids=SMALL)


def built(implementation, network, dtype=torch.float64):
    weights = initial_weights(network, 0, dtype, CPU)
    return BuiltNetwork(implementation, network, weights, dtype, CPU).eval()


def parameters(network):
    return sum(parameter.numel() for parameter in built(Gather(), network).parameters())


def grids(network, channels, grid_size, kind):
    """Sites along the first axis after every layer of a kind."""
    shapes = network.shapes(channels, grid_size)
    return [shapes[layer.name][1][0] for layer in network.layers if layer.name.startswith(kind)]


def filters(network):
    return [
        layer.operator.out_channels
        for layer in network.layers
        if isinstance(layer.operator, Convolution)
    ]


def dropout_before_weights(network):
    """The probability in front of each layer with weights."""
    found, probability = [], 0.0
    for layer in network.layers:
        probability = getattr(layer.operator, "probability", probability)
        if isinstance(layer.operator, Convolution | Linear):
            found.append(probability)
            probability = 0.0
    return found


def test_deepcnet_halves_the_grid_as_the_paper_lists_it():
    network = deep_cnet(5, 10, 10)
    assert grids(network, 1, (96, 96), "conv") == [94, 46, 22, 10, 4, 1]
    assert grids(network, 1, (96, 96), "pool") == [47, 23, 11, 5, 2]
    assert filters(network) == [10, 20, 30, 40, 50, 60]
    assert network.shapes(1, (96, 96))["classify"] == (10, (1, 1))


def test_the_padded_deepcnet_has_the_grids_of_the_reproduction():
    network = deep_cnet(5, 10, 10, padded=True)
    assert grids(network, 1, (96, 96), "conv") == [96, 49, 25, 13, 7, 4]
    assert grids(network, 1, (96, 96), "pool") == [48, 24, 12, 6, 3]
    assert network.shapes(1, (96, 96))["classify"] == (10, (1, 1))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_deepcnet_of_any_depth_ends_in_one_site(levels, padded, dimensions):
    network = deep_cnet(levels, 2, 7, dimensions=dimensions, padded=padded)
    grid_size = deepcnet.grid_of(levels, dimensions)
    assert network.shapes(1, grid_size)["classify"] == (7, (1,) * dimensions)


@pytest.mark.parametrize(
    ("k", "millions"), [(10, "4.27"), (30, "33.7"), (60, "129.8"), (100, "355")]
)
def test_deepcnet_multiplies_as_often_as_the_paper_says(k, millions, random_batch):
    """Counted without the classifier, as the paper does."""
    network = deep_cnet(5, k, 10)
    batch = random_batch((96, 96), density=0.01, channels=1, batch_size=1)
    dense = network_cost(network, batch).dense_multiply_adds - 6 * k * 10
    digits = len(millions.partition(".")[2])
    assert f"{dense / 1e6:.{digits}f}" == millions


def test_deepcnin_puts_a_1x1_convolution_after_each_pooling_and_after_the_last_convolution():
    network = deep_cnin(3, 5, 10)
    kinds = [layer.name.rstrip("0123456789") for layer in network.layers]
    level = ["conv", "relu", "pool", "nin", "nin_relu"]
    assert kinds == [*level * 3, "conv", "relu", "nin", "nin_relu", "classify"]
    windows = [
        layer.operator.window.kernel_size
        for layer in network.layers
        if isinstance(layer.operator, Convolution) and layer.name.startswith("nin")
    ]
    assert windows == [(1, 1)] * 4
    slopes = {
        layer.operator.negative_slope
        for layer in network.layers
        if isinstance(layer.operator, Rectifier)
    }
    assert slopes == {1 / 3}


def test_dropout_rises_as_in_the_reproduction():
    assert rising_dropout(5) == (0, 0, 0, 0.5, 0.5, 0.5, 0.5)
    network = deep_cnet(5, 2, 10, dropout=rising_dropout(5))
    assert dropout_before_weights(network) == [0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert dropout_before_weights(deep_cnet(5, 2, 10)) == [0] * 7
    with pytest.raises(UserError, match="each of the 7 layers with weights, not 2"):
        deep_cnet(5, 2, 10, dropout=(0.5, 0.5))


def test_the_assamese_vgg_has_97295_parameters():
    assert parameters(assamese_vgg()) == 97_295
    assert grids(assamese_vgg(), 3, (95, 95), "pool") == [47, 23, 11, 5]
    assert assamese_vgg().shapes(3, (95, 95))["classify"] == (183, (1, 1))


def test_the_small_cnn_has_21840_parameters_on_mnist():
    assert parameters(small_cnn(28, 10)) == 21_840
    assert small_cnn(48, 183).shapes(1, (48, 48))["classify"] == (183, (1, 1))


@pytest.mark.parametrize("levels", [1, 2, 4, 5])
def test_a_vgg_and_its_dense_twin_differ_in_nothing_but_the_rule(levels):
    sparse, dense = plain_vgg(levels, 10), plain_vgg(levels, 10, rule="full")
    grid_size = vgg.grid_of(levels)
    assert sparse.shapes(1, grid_size) == dense.shapes(1, grid_size)
    assert parameters(sparse) == parameters(dense)
    assert grids(sparse, 1, grid_size, "pool")[-1] == 5
    rules = [
        {x.operator.rule for x in network.layers if isinstance(x.operator, Convolution)}
        for network in (sparse, dense)
    ]
    assert rules == [{"submanifold", "full"}, {"full"}]


def test_the_sparsity_invariant_cnn_keeps_the_grid_and_gives_one_value_a_site():
    network = invariant_cnn()
    assert network.shapes(1, (20, 30))["depth"] == (1, (20, 30))
    kernels = [
        layer.operator.window.kernel_size[0]
        for layer in network.layers
        if isinstance(layer.operator, Convolution)
    ]
    assert kernels == [*KERNELS, 1] == [11, 7, 5, 3, 3, 1]
    assert filters(network) == [16] * 5 + [1]


def test_the_classifiers_made_of_it_end_in_one_site():
    assert invariant_mnist().shapes(1, (28, 28))["classify"] == (10, (1, 1))
    assert invariant_caltech101().shapes(3, (224, 224))["classify"] == (101, (1, 1))
    kinds = {type(layer.operator).__name__ for layer in invariant_caltech101().layers}
    assert {"BatchNorm", "MaxPooling", "Dropout"} <= kinds


@pytest.mark.parametrize(
    "make",
    [
        lambda: deep_cnet(5, 10, 0),
        lambda: deep_cnin(5, 10, 0),
        lambda: small_cnn(28, 0),
        lambda: assamese_vgg(0),
        lambda: plain_vgg(3, 0),
        lambda: invariant_mnist(28, 0),
        lambda: invariant_caltech101(224, 0),
    ],
)
def test_a_network_without_classes_is_refused(make):
    with pytest.raises(UserError, match="needs at least 1 for classes, not 0"):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: deep_cnet(0, 10, 10), "at least 1 for levels, not 0"),
        (lambda: deep_cnet(5, 0, 10), "at least 1 for filters, not 0"),
        (lambda: deep_cnet(5, 10, 10, channels=0), "at least 1 for channels, not 0"),
        (lambda: plain_vgg(0, 10), "at least 1 for levels, not 0"),
        (lambda: invariant_cnn(filters=0), "at least 1 for filters, not 0"),
        (lambda: small_cnn(15, 10), "takes grids from 16 on, not 15"),
        (lambda: invariant_mnist(3), "2 poolings 2/2 take grids from 4 on, not 3"),
        (lambda: invariant_caltech101(15), "4 poolings 2/2 take grids from 16 on, not 15"),
    ],
)
def test_a_network_that_cannot_be_is_refused_in_one_line(make, said):
    with pytest.raises(UserError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_smallest_grids_that_are_not_refused_work():
    assert small_cnn(16, 3).shapes(1, (16, 16))["classify"] == (3, (1, 1))
    assert invariant_mnist(4, 3).shapes(1, (4, 4))["classify"] == (3, (1, 1))
    assert invariant_caltech101(16, 3).shapes(3, (16, 16))["classify"] == (3, (1, 1))


@pytest.mark.parametrize(
    "network",
    [deep_cnet(5, 2, 10), deep_cnet(5, 2, 10, padded=True), deep_cnin(5, 2, 10), small_cnn(96, 10)],
)
def test_a_grid_size_that_a_network_was_not_made_for_is_refused(network):
    """Poolings would drop the last rows and columns of a grid of 100, and nobody would notice."""
    with pytest.raises(UserError, match=r"takes grid size \(96, 96\), not \(100, 100\)"):
        network.shapes(1, (100, 100))


def test_vggs_and_classifiers_take_their_own_grid_only():
    for network, channels, grid in (
        (assamese_vgg(), 3, 95),
        (plain_vgg(3, 10), 1, 47),
        (invariant_mnist(), 1, 28),
        (invariant_caltech101(), 3, 224),
    ):
        assert network.grid_size == (grid, grid)
        with pytest.raises(UserError, match="takes grid size"):
            network.shapes(channels, (grid + 1, grid))
    assert invariant_cnn().grid_size is None


def test_a_wrong_number_of_channels_is_refused_with_the_layer_that_minds():
    with pytest.raises(
        UserError, match="layer 'conv1': its input has 3 channels, and it expects 1"
    ):
        deep_cnet(5, 10, 10).shapes(3, (96, 96))


def test_small_networks_are_there_of_every_family_and_have_names_of_their_own():
    assert len(SMALL) == len(conformance_networks())
    families = {name.split("-")[0] for name in SMALL}
    assert families == {"deepcnet", "deepcnin", "small", "vgg", "invariant"}
    assert {len(small.grid_size) for small in SMALL.values()} == {2, 3}


@every_small_network
def test_the_ground_state_is_claimed_exactly_where_it_exists(small):
    possible = why_no_ground_state(small.network) is None
    assert (Background.GROUND_STATE in small.backgrounds) == possible


@every_small_network
def test_dense_masked_and_gather_agree_on_every_network(small, random_batch):
    batch = random_batch(small.grid_size, density=0.1, channels=small.channels, batch_size=2)
    outputs = []
    for implementation in (Dense(), Masked(), Gather()):
        network = built(implementation, small.network)
        with torch.no_grad():
            outputs.append(implementation.decode(network(implementation.encode(batch))))
    first = outputs[0]
    assert first.sites > 0
    assert bool(first.features.any())
    for other in outputs[1:]:
        assert torch.equal(other.coordinates, first.coordinates)
        torch.testing.assert_close(other.features, first.features, rtol=1e-10, atol=1e-10)


class OperatorCount(TorchDispatchMode):
    """Counts what is asked of torch, layer by layer."""

    def __init__(self):
        super().__init__()
        self.layers, self.count = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))

    def mark(self, layer):
        self.layers[layer] = self.count
        self.count = 0


def test_gather_builds_one_kernel_map_for_a_stack_of_submanifold_convolutions(random_batch):
    layer = convolution(2, "submanifold", 3, 3, 3)
    stack = Network(tuple(Layer(f"conv{number}", layer) for number in (1, 2, 3)))
    gather, network = Gather(), built(Gather(), stack)
    native = gather.encode(random_batch((20, 20)))
    counts = []
    for _ in ("cold", "warm"):
        with torch.no_grad(), OperatorCount() as count:
            network.answer(native, count.mark)
        counts.append(count.layers)
    cold, warm = counts
    assert cold["conv1"] > warm["conv1"]
    assert [cold["conv2"], cold["conv3"]] == [warm["conv2"], warm["conv3"]]
