"""The oracle on examples small enough to be worked by hand; the numbers stand in the tests."""

import pytest
import torch

from bench.batch import sparse_batch
from bench.build import BuiltNetwork, LayerWeights
from bench.network import INPUT, Layer, Network, single
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
from bench.oracle.dense import Oracle


def run(network, batch, weights=None):
    """Return the oracle's native tensor after a network."""
    oracle = Oracle()
    weights = {
        name: LayerWeights(
            torch.tensor(weight, dtype=torch.float64),
            None if bias is None else torch.tensor(bias, dtype=torch.float64),
        )
        for name, (weight, bias) in (weights or {}).items()
    }
    built = BuiltNetwork(oracle, network, weights, torch.float64, torch.device("cpu")).eval()
    with torch.no_grad():
        return built(oracle.encode(batch))


def row(*sites, width, channels=None):
    """Make a batch of one row of the grid from (column, value or values)."""
    values = torch.tensor([value for _, value in sites], dtype=torch.float64)
    coordinates = torch.tensor([(0, 0, column) for column, _ in sites], dtype=torch.int32)
    return sparse_batch(coordinates, values.reshape(len(sites), channels or 1), 1, (1, width))


def columns(native):
    """Active columns and values of a one-row grid of one channel."""
    batch = Oracle().decode(native)
    return {
        column: value
        for (_, _, column), (value,) in zip(
            batch.coordinates.tolist(), batch.features.tolist(), strict=True
        )
    }


def test_a_full_convolution_adds_its_bias_at_active_sites_and_leaves_others_exactly_zero():
    # Inputs 2 at column 1 and 3 at column 4; taps 10 and 1 look at columns j and j + 1.
    operator = convolution(2, "full", 1, 1, (1, 2))
    native = run(
        single(operator),
        row((1, 2.0), (4, 3.0), width=7),
        {"layer": ([[[[10.0, 1.0]]]], [0.5])},
    )
    assert native.values.flatten().tolist() == [2.5, 20.5, 0.0, 3.5, 30.5, 0.0]
    assert columns(native) == {0: 2.5, 1: 20.5, 3: 3.5, 4: 30.5}


def test_a_full_convolution_is_a_cross_correlation_over_all_input_channels():
    # (1, 2) at one site; weights of output 0: 3 and 4, of output 1: 5 and 6; kernel 1.
    operator = convolution(2, "full", 2, 2, 1, bias=False)
    native = run(
        single(operator),
        row((0, (1.0, 2.0)), width=2, channels=2),
        {"layer": ([[[[3.0]], [[4.0]]], [[[5.0]], [[6.0]]]], None)},
    )
    assert native.values[0, :, 0].tolist() == [[11.0, 0.0], [17.0, 0.0]]


def test_a_full_convolution_whose_sum_is_zero_is_active_all_the_same():
    native = run(
        single(convolution(2, "full", 1, 1, (1, 2), bias=False)),
        row((0, 1.0), (1, 1.0), width=3),
        {"layer": ([[[[1.0, -1.0]]]], None)},
    )
    assert columns(native) == {0: 0.0, 1: 1.0}


def test_a_submanifold_convolution_is_active_where_its_input_is_and_nowhere_else():
    # Taps 100, 10, 1 look left, at the site, right. Columns 1 and 2 are neighbours, 5 is alone.
    operator = convolution(2, "submanifold", 1, 1, (1, 3))
    native = run(
        single(operator),
        row((1, 2.0), (2, 3.0), (5, 4.0), width=7),
        {"layer": ([[[[100.0, 10.0, 1.0]]]], [0.5])},
    )
    assert columns(native) == {1: 20 + 3 + 0.5, 2: 200 + 30 + 0.5, 5: 40.5}
    assert native.values.flatten().tolist() == [0, 23.5, 230.5, 0, 0, 40.5, 0]


def test_a_sparsity_invariant_convolution_divides_by_sites_not_by_channels():
    # Two channels. Window of column 1 sees sites 0 and 1: (1 + 2 + 3 + 5) / 2 sites + 7.
    operator = convolution(2, "sparsity_invariant", 2, 1, (1, 3), padding=(0, 1))
    native = run(
        single(operator),
        row((0, (1.0, 2.0)), (1, (3.0, 5.0)), width=5, channels=2),
        {"layer": ([[[[1.0] * 3], [[1.0] * 3]]], [7.0])},
    )
    found = columns(native)
    assert found == pytest.approx({0: 5.5 + 7, 1: 5.5 + 7, 2: 8.0 + 7}, rel=1e-7)
    assert native.values.flatten()[3:].tolist() == [0.0, 0.0]


def test_a_sparsity_invariant_convolution_adds_epsilon_to_the_count():
    native = run(
        single(convolution(2, "sparsity_invariant", 1, 1, 1, bias=False)),
        row((0, 1.0), width=1),
        {"layer": ([[[[1.0]]]], None)},
    )
    assert columns(native) == {0: 1 / (1 + 1e-8)}


def test_pooling_a_negative_site_beside_an_inactive_one_gives_zero_and_is_active():
    native = run(single(max_pooling(2, (1, 2), (1, 2))), row((0, -3.0), width=4))
    assert columns(native) == {0: 0.0}
    assert native.mask.flatten().tolist() == [True, False]


def test_pooling_negative_sites_only_gives_the_true_maximum():
    native = run(single(max_pooling(2, (1, 2), (1, 2))), row((0, -3.0), (1, -2.0), width=4))
    assert columns(native) == {0: -2.0}
    assert native.values.flatten().tolist() == [-2.0, 0.0]


def test_pooling_never_takes_padding_for_a_maximum():
    # The window of column 0 holds padding and two negative sites; that of column 2 is inactive.
    native = run(
        single(max_pooling(2, (1, 3), (1, 1), (0, 1))),
        row((0, -3.0), (1, -2.0), width=4),
    )
    assert columns(native) == {0: -2.0, 1: 0.0, 2: 0.0}


def test_an_inverse_convolution_returns_to_the_earlier_sites_with_the_taps_that_left_them():
    # Down: columns 0, 1, 3 -> windows 0 and 1 of stride 2, taps 1 and 1: sums 3 and 4.
    # Up: taps 10 and 100 for even and odd columns, bias 0.5 at the three sites only.
    down = convolution(2, "full", 1, 1, (1, 2), (1, 2), bias=False)
    up = InverseConvolution(1, 1, down.window)
    native = run(
        Network((Layer("down", down), Layer("up", up, ("down", INPUT)))),
        row((0, 1.0), (1, 2.0), (3, 4.0), width=5),
        {"down": ([[[[1.0, 1.0]]]], None), "up": ([[[[10.0, 100.0]]]], [0.5])},
    )
    assert columns(native) == {0: 30.5, 1: 300.5, 3: 400.5}
    assert native.values.flatten().tolist() == [30.5, 300.5, 0.0, 400.5, 0.0]


def test_pointwise_layers_act_on_active_sites_only():
    linear = run(single(Linear(1, 1)), row((1, -2.0), width=3), {"layer": ([[3.0]], [7.0])})
    assert linear.values.flatten().tolist() == [0.0, 1.0, 0.0]
    batch = row((0, -2.0), (2, 4.0), width=3)
    assert columns(run(single(Rectifier()), batch)) == {0: 0.0, 2: 4.0}
    assert columns(run(single(Rectifier(0.25)), batch)) == {0: -0.5, 2: 4.0}
    assert columns(run(single(Dropout(0.5)), batch)) == {0: -2.0, 2: 4.0}


def test_batch_norm_takes_its_statistics_over_active_sites():
    # Values 1 and 3: mean 2, variance 1; the two inactive sites do not count.
    oracle = Oracle()
    norm = oracle.pointwise(BatchNorm(1), None, None).train()
    with torch.no_grad():
        native = norm(oracle.encode(row((0, 1.0), (2, 3.0), width=4)))
    expected = (1 + 1e-5) ** -0.5
    assert columns(native) == pytest.approx({0: -expected, 2: expected})
    assert native.values.flatten()[[1, 3]].tolist() == [0.0, 0.0]


def test_joining_adds_values_or_puts_channels_side_by_side():
    batch = row((1, -2.0), width=2)
    layers = (Layer("active", Rectifier(0.5)),)
    total = run(Network((*layers, Layer("sum", Add(), ("active", INPUT)))), batch)
    assert columns(total) == {1: -3.0}
    both = run(Network((*layers, Layer("both", Concatenate(), ("active", INPUT)))), batch)
    assert both.values[0, :, 0].tolist() == [[0.0, -1.0], [0.0, -2.0]]


def test_samples_do_not_mix_and_an_empty_one_stays_empty():
    sites = torch.tensor([(0, 0, 0), (2, 0, 1)], dtype=torch.int32)
    batch = sparse_batch(sites, torch.tensor([[1.0], [2.0]]).double(), 3, (1, 3))
    operator = convolution(2, "full", 1, 1, (1, 2))
    native = run(single(operator), batch, {"layer": ([[[[1.0, 10.0]]]], [0.5])})
    assert native.values.flatten(1).tolist() == [[1.5, 0.0], [0.0, 0.0], [20.5, 2.5]]


def test_three_axes_are_computed_like_two():
    # One site of value 2 in the middle of 3x3x3; each window of 2x2x2 sees it through one tap.
    operator = convolution(3, "full", 1, 1, 2)
    sites = torch.tensor([(0, 1, 1, 1)], dtype=torch.int32)
    batch = sparse_batch(sites, torch.tensor([[2.0]]).double(), 1, (3, 3, 3))
    weight = torch.arange(8.0).reshape(1, 1, 2, 2, 2).tolist()
    native = run(single(operator), batch, {"layer": (weight, [0.5])})
    assert native.values.flatten().tolist() == [2 * tap + 0.5 for tap in (7, 6, 5, 4, 3, 2, 1, 0)]
