"""The oracle for networks: its ways agree, and it tells rounding from error."""

import pytest
import torch
from torch import nn

from bench.background import Background
from bench.batch import sparse_batch
from bench.build import LayerWeights, initial_weights
from bench.cost import network_cost
from bench.errors import UserError
from bench.ground_state import build
from bench.measure.candidate import Candidate, IncorrectError, Problem
from bench.network import Layer, Network
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Dropout,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)
from bench.oracle.expectation import OracleLimits, expect
from bench.oracle.reference import dense_pass, sparse_pass
from bench.oracle.verification import gradient_fault, run_with_gradients
from impls.dense import Dense
from impls.gather import Gather
from impls.masked import Masked

CPU = torch.device("cpu")
ON_SITES = OracleLimits(dense_bytes=0)
ONE_SAMPLE = OracleLimits(dense_bytes=0, window_multiply_adds=1)
WAYS = {"dense": None, "all windows": ON_SITES, "all windows of 1 of 4 samples": ONE_SAMPLE}
GRIDS = {2: (13, 12), 3: (7, 8, 6)}


def block(dimensions, *, norm=True):
    """Every operator once: branches, a way down and back, all three rules."""
    down = convolution(dimensions, "full", 4, 6, 3, 2)
    norms = [Layer("norm", BatchNorm(4))] if norm else []
    return Network(
        (
            Layer("stem", convolution(dimensions, "submanifold", 3, 4, 3)),
            *norms,
            Layer("active", Rectifier(0.25)),
            Layer("down", down),
            Layer("linear", Linear(6, 6)),
            Layer("dropout", Dropout(0.5)),
            Layer("up", InverseConvolution(6, 4, down.window), ("dropout", "active")),
            Layer("sum", Add(), ("up", "active")),
            Layer("both", Concatenate(), ("sum", "stem")),
            Layer("invariant", convolution(dimensions, "sparsity_invariant", 8, 5, 3, padding=1)),
            Layer("relu", Rectifier()),
            Layer("pool", max_pooling(dimensions, 3, 2, 1)),
            Layer("head", convolution(dimensions, "full", 5, 2, 2)),
        )
    )


def weights_of(network, dtype=torch.float64, seed=0):
    return initial_weights(network, seed, dtype, CPU)


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("density", [0.03, 0.3, 1.0])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_active_sites_give_what_the_densified_input_gives(
    dimensions, density, training, random_batch
):
    batch = random_batch(GRIDS[dimensions], density=density)
    network = block(dimensions)
    weights = weights_of(network)
    dense = dense_pass(network, weights, batch, training=training)
    sparse = sparse_pass(
        network, weights, batch, Background.ZERO, batch.features.dtype, training=training
    )
    assert torch.equal(sparse.sites.coordinates, dense.sites.coordinates)
    assert sparse.sites.grid_size == dense.sites.grid_size
    close(sparse.rows, dense.rows)
    upstream = torch.randn_like(dense.rows)
    expected = dense.gradients(upstream)
    found = sparse.gradients(upstream)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        close(found[name], gradient)


def test_a_pass_shares_its_maps_with_the_next(random_batch):
    batch, network, maps = random_batch(GRIDS[2]), block(2), {}
    first = sparse_pass(
        network, weights_of(network), batch, Background.ZERO, torch.float64, maps=maps
    )
    assert set(maps) == {"stem", "down", "up", "invariant", "pool", "head"}
    second = sparse_pass(
        network, weights_of(network), batch, Background.ZERO, torch.float64, maps=maps
    )
    assert torch.equal(first.rows, second.rows)


@pytest.mark.parametrize("coverage", WAYS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_ways_agree_where_they_overlap(coverage, dtype, random_batch):
    batch = random_batch(GRIDS[2], batch_size=4, dtype=dtype)
    network = block(2, norm=False)
    weights = weights_of(network, dtype)
    dense = expect(network, weights, batch, seed=3)
    found = expect(network, weights, batch, seed=3, limits=WAYS[coverage])
    assert (dense.coverage, found.coverage) == ("dense", coverage)
    assert torch.equal(found.coordinates, dense.coordinates)
    rows = torch.arange(len(dense.coordinates)) if found.rows is None else found.rows
    close(found.output.values, dense.output.values[rows])
    close(found.output.slack, dense.output.slack[rows])
    elsewhere = torch.ones(len(dense.coordinates), dtype=torch.bool)
    elsewhere[rows] = False
    assert not found.upstream[elsewhere].any()
    exact = dense_pass(network, weights, batch).gradients(found.upstream)
    for name, gradient in exact.items():
        close(found.gradients[name].values, gradient)


def test_one_sample_is_checked_even_where_all_are_too_dear(random_batch):
    batch = random_batch(GRIDS[2], batch_size=4)
    network = block(2, norm=False)
    found = expect(network, weights_of(network), batch, limits=ONE_SAMPLE)
    assert len(found.coordinates[found.rows, 0].unique()) == 1


def test_as_many_samples_are_checked_as_the_limit_allows(random_batch):
    batch = random_batch(GRIDS[2], batch_size=10, density=0.4)
    network = block(2, norm=False)
    cost = network_cost(network, batch)
    work = cost.multiply_adds + 500 * cost.active_pairs
    limits = OracleLimits(dense_bytes=0, window_multiply_adds=work / 2)
    found = expect(network, weights_of(network), batch, limits=limits, cost=cost)
    samples = found.coordinates[found.rows, 0].unique()
    assert 3 <= len(samples) <= 6
    assert found.coverage == f"all windows of {len(samples)} of 10 samples"
    another = expect(network, weights_of(network), batch, limits=limits, seed=1)
    assert not torch.equal(another.coordinates[another.rows, 0].unique(), samples)


def test_a_batch_norm_is_never_checked_on_some_samples_only(random_batch):
    batch = random_batch(GRIDS[2], batch_size=4)
    network = block(2)
    found = expect(network, weights_of(network), batch, limits=ONE_SAMPLE)
    assert (found.coverage, found.rows) == ("all windows", None)


def test_training_with_a_batch_norm_expects_another_output_than_evaluation(random_batch):
    batch = random_batch(GRIDS[2])
    network = block(2)
    found = expect(network, weights_of(network), batch)
    assert not torch.allclose(found.output.values, found.trained.values)
    close(
        found.in_training.output.values,
        dense_pass(network, weights_of(network), batch, training=True).rows,
    )
    without = expect(block(2, norm=False), weights_of(block(2, norm=False)), batch)
    assert without.trained is None
    assert without.in_training is without


DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("coverage", WAYS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("implementation", [Dense(), Gather(), Masked()], ids=lambda i: i.name)
def test_what_is_right_is_never_flagged(implementation, dtype, coverage, seed, random_batch):
    batch = random_batch(GRIDS[2], batch_size=4, density=0.2, dtype=dtype, seed=seed)
    network = block(2, norm=seed % 2 == 0)
    weights = weights_of(network, dtype, seed)
    expectation = expect(network, weights, batch, seed=seed, limits=WAYS[coverage])
    candidate = Candidate(implementation, Problem(network, weights, batch, expectation))
    candidate.verify_outputs()
    candidate.verify_gradients()


class Scaled(nn.Module):
    """A module whose output is a little too large."""

    def __init__(self, inner, factor):
        super().__init__()
        self.inner = inner
        self.factor = factor

    @property
    def weight(self):
        return self.inner.weight

    @property
    def bias(self):
        return self.inner.bias

    def forward(self, *natives):
        output = self.inner(*natives)
        return output._replace(features=output.features * self.factor)


class OneLayerOff(Gather):
    """One convolution of the network is off by a factor."""

    name = "one_layer_off"

    def __init__(self, factor):
        self.factor = factor

    def inverse_convolution(self, operator, weight, bias):
        return Scaled(super().inverse_convolution(operator, weight, bias), self.factor)


@pytest.mark.parametrize("coverage", WAYS)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    ("dtype", "factor"), [(torch.float64, 1 + 1e-12), (torch.float32, 1 + 1e-4)], ids=str
)
def test_one_layer_off_by_little_is_found(dtype, factor, norm, coverage, random_batch):
    batch = random_batch(GRIDS[2], batch_size=4, density=0.2, dtype=dtype)
    network = block(2, norm=norm)
    weights = weights_of(network, dtype)
    expectation = expect(network, weights, batch, limits=WAYS[coverage])
    candidate = Candidate(OneLayerOff(factor), Problem(network, weights, batch, expectation))
    with pytest.raises(IncorrectError, match="first call: output is wrong"):
        candidate.verify_outputs()


@pytest.mark.parametrize("coverage", WAYS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_gradient_off_by_a_hundredth_is_found(dtype, coverage, random_batch):
    batch = random_batch(GRIDS[2], batch_size=4, density=0.2, dtype=dtype)
    network = block(2, norm=False)
    weights = weights_of(network, dtype)
    expectation = expect(network, weights, batch, limits=WAYS[coverage])
    built = build(Gather(), network, weights, dtype, CPU)
    _, gradients = run_with_gradients(built, batch, expectation.upstream)
    assert gradient_fault(expectation, gradients, dtype) is None
    for name in gradients:
        wrong = gradients[name].clone(memory_format=torch.contiguous_format)
        wrong.view(-1)[wrong.abs().argmax()] *= 1.01
        fault = gradient_fault(expectation, gradients | {name: wrong}, dtype)
        assert fault.startswith(f"gradient at {name} is wrong in 1 of")


ONE_ROUNDING = 2.0**-23
"""The spacing of float32 at 1."""


def rows(*features):
    """A float32 batch of sites side by side."""
    coordinates = torch.tensor([(0, 0, place) for place in range(len(features))])
    return sparse_batch(coordinates.int(), torch.tensor(features), 1, (1, len(features)))


def own_weights(**layers):
    return {name: LayerWeights(torch.tensor(weight), None) for name, weight in layers.items()}


RECTIFIED = Network(
    (
        Layer("difference", convolution(2, "submanifold", 2, 1, 1, bias=False)),
        Layer("relu", Rectifier()),
        Layer("scale", Linear(1, 1, bias=False)),
    )
)
RECTIFIED_WEIGHTS = own_weights(difference=[[[[1.0]], [[-1.0]]]], scale=[[1.0]])


@pytest.mark.parametrize(("distance", "admitted"), [(ONE_ROUNDING, True), (0.01, False)])
def test_a_rectifier_may_fall_either_way_only_within_rounding_of_its_kink(distance, admitted):
    batch = rows((1.0, 1.0 - distance), (2.0, 1.0), (1.0, 2.0))
    expectation = expect(RECTIFIED, RECTIFIED_WEIGHTS, batch)
    gradients = {name: each.values.float() for name, each in expectation.gradients.items()}
    assert gradients["input"][0].any()
    assert gradient_fault(expectation, gradients, torch.float32) is None
    fallen = gradients["input"].clone()
    fallen[0] = 0
    fault = gradient_fault(expectation, gradients | {"input": fallen}, torch.float32)
    assert (fault is None) == admitted


POOLED = Network(
    (
        Layer("scale", convolution(2, "submanifold", 1, 1, 1, bias=False)),
        Layer("pool", max_pooling(2, (1, 2), (1, 2))),
        Layer("last", Linear(1, 1, bias=False)),
    )
)
POOLED_WEIGHTS = own_weights(scale=[[[[1.5]]]], last=[[1.0]])


@pytest.mark.parametrize(
    ("distance", "admitted"), [(0.0, True), (ONE_ROUNDING, True), (0.01, False)]
)
def test_a_pooling_may_choose_either_of_two_only_where_they_tie_within_rounding(distance, admitted):
    batch = rows((1.0,), (1.0 - distance,), (3.0,), (2.0,))
    expectation = expect(POOLED, POOLED_WEIGHTS, batch)
    gradients = {name: each.values.float() for name, each in expectation.gradients.items()}
    assert gradients["input"][0].any()
    assert not gradients["input"][1].any()
    swapped = gradients["input"][[1, 0, 2, 3]]
    fault = gradient_fault(expectation, gradients | {"input": swapped}, torch.float32)
    assert (fault is None) == admitted


def test_equal_values_that_nothing_rounded_are_pooled_in_torchs_order():
    network = Network(POOLED.layers[1:])
    batch = rows((1.0,), (1.0,), (3.0,), (2.0,))
    expectation = expect(network, own_weights(last=[[1.0]]), batch)
    gradients = {name: each.values.float() for name, each in expectation.gradients.items()}
    assert gradients["input"][0].any()
    assert not gradients["input"][1].any()
    swapped = gradients["input"][[1, 0, 2, 3]]
    assert gradient_fault(expectation, gradients | {"input": swapped}, torch.float32) is not None


def test_a_bias_that_a_batch_norm_takes_off_again_has_a_gradient_of_rounding_errors(random_batch):
    network = Network(
        (
            Layer("conv", convolution(2, "submanifold", 3, 4, 3)),
            Layer("norm", BatchNorm(4)),
            Layer("relu", Rectifier()),
        )
    )
    batch = random_batch((40, 40), density=0.5, dtype=torch.float32)
    weights = weights_of(network, torch.float32)
    expectation = expect(network, weights, batch)
    at_bias = expectation.gradients["conv.bias"]
    assert at_bias.values.abs().max() < 1e-10
    candidate = Candidate(Dense(), Problem(network, weights, batch, expectation))
    candidate.verify_gradients()
    assert 1e-7 < at_bias.slack < 1e-2


def test_training_a_batch_norm_on_one_row_is_refused_by_the_layers_name(random_batch):
    batch = random_batch((4, 4), density=1 / 16, batch_size=1)
    with pytest.raises(UserError, match="layer 'norm': a batch norm trains on two active sites"):
        expect(block(2), weights_of(block(2)), batch)


def test_another_number_of_channels_is_refused_by_the_layers_name(random_batch):
    network = block(2)
    with pytest.raises(UserError, match="layer 'stem': its input has 2 channels, and it expects 3"):
        expect(network, weights_of(network), random_batch(GRIDS[2], channels=2))
