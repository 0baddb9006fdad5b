import pytest
import torch

from bench.build import BuiltNetwork, LayerWeights, initial_weights
from bench.network import INPUT, Layer, Network, single
from bench.operators import InverseConvolution, Rectifier, convolution, max_pooling
from bench.oracle.dense import Oracle
from bench.oracle.expectation import OracleLimits, expect
from bench.oracle.verification import gradient_fault, output_fault, run_with_gradients
from bench.sites import output_sites

CPU = torch.device("cpu")
ALL_WINDOWS = OracleLimits(dense_bytes=0)
SAMPLED = OracleLimits(dense_bytes=0, window_multiply_adds=0, fewest_windows=20)
OPERATORS = {
    "full": convolution(2, "full", 3, 5, 3, 2, 1),
    "full without bias": convolution(2, "full", 3, 5, 2, bias=False),
    "full dilated": convolution(2, "full", 3, 5, (3, 2), (1, 2), (2, 1), (2, 1)),
    "submanifold": convolution(2, "submanifold", 3, 5, 3),
    "sparsity invariant": convolution(2, "sparsity_invariant", 3, 5, 3, padding=1),
    "pooling": max_pooling(2, 3, 2, 1),
    "pooling dilated": max_pooling(2, 2, 1, dilation=2),
    "full 3D": convolution(3, "full", 3, 2, 2, 2),
    "submanifold 3D": convolution(3, "submanifold", 3, 2, 3),
    "sparsity invariant 3D": convolution(3, "sparsity_invariant", 3, 2, 3, 2, 1),
    "pooling 3D": max_pooling(3, 3, 2, 1),
}
GRIDS = {2: (11, 9), 3: (5, 6, 7)}

every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def expectation(operator, batch, limits=None, seed=3):
    network = operator if isinstance(operator, Network) else single(operator)
    weights = initial_weights(network, 1, batch.features.dtype, CPU)
    return expect(network, weights, batch, seed=seed, limits=limits)


def oracle_run(operator, batch, upstream):
    """What the whole dense network returns for this upstream gradient."""
    network = single(operator)
    weights = initial_weights(network, 1, batch.features.dtype, CPU)
    built = BuiltNetwork(Oracle(), network, weights, torch.float64, CPU)
    return run_with_gradients(built, batch, upstream)


def close(left, right):
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@every_operator
@pytest.mark.parametrize("density", [0.1, 0.6, 1.0])
def test_windows_give_the_same_outputs_gradients_and_magnitudes_as_the_dense_way(
    operator, density, random_batch
):
    batch = random_batch(GRIDS[operator.window.dimensions], density=density)
    dense = expectation(operator, batch)
    windows = expectation(operator, batch, ALL_WINDOWS)
    assert (dense.coverage, windows.coverage) == ("dense", "all windows")
    assert windows.rows is None
    assert windows.grid_size == dense.grid_size
    assert torch.equal(windows.coordinates, dense.coordinates)
    assert torch.equal(windows.upstream, dense.upstream)
    close(windows.output.values, dense.output.values)
    close(windows.output.magnitude, dense.output.magnitude)
    assert windows.gradients.keys() == dense.gradients.keys()
    for name, expected in dense.gradients.items():
        close(windows.gradients[name].values, expected.values)
        close(windows.gradients[name].magnitude, expected.magnitude)


@every_operator
def test_windows_computed_in_small_chunks_are_the_same(operator, random_batch):
    batch = random_batch(GRIDS[operator.window.dimensions], density=0.4)
    whole = expectation(operator, batch, ALL_WINDOWS)
    chunks = expectation(operator, batch, OracleLimits(dense_bytes=0, chunk_bytes=10_000))
    close(chunks.output.values, whole.output.values)
    for name, expected in whole.gradients.items():
        close(chunks.gradients[name].values, expected.values)


@every_operator
def test_sampled_windows_keep_the_exact_site_set_and_the_true_values(operator, random_batch):
    batch = random_batch(GRIDS[operator.window.dimensions], density=0.4)
    dense = expectation(operator, batch)
    sampled = expectation(operator, batch, SAMPLED)
    assert torch.equal(sampled.coordinates, dense.coordinates)
    assert len(sampled.rows) == 20 < len(dense.coordinates)
    assert sampled.rows.tolist() == sorted(set(sampled.rows.tolist()))
    assert sampled.coverage == f"20 sampled windows of {len(dense.coordinates)}"
    close(sampled.output.values, dense.output.values[sampled.rows])
    close(sampled.output.magnitude, dense.output.magnitude[sampled.rows])


@every_operator
def test_sampled_windows_expect_the_gradients_of_an_upstream_that_is_zero_elsewhere(
    operator, random_batch
):
    batch = random_batch(GRIDS[operator.window.dimensions], density=0.4)
    sampled = expectation(operator, batch, SAMPLED)
    nonzero = sampled.upstream.any(1).nonzero().squeeze(1)
    assert torch.equal(nonzero, sampled.rows)
    _, gradients = oracle_run(operator, batch, sampled.upstream)
    assert gradients.keys() == sampled.gradients.keys()
    for name, gradient in gradients.items():
        close(sampled.gradients[name].values, gradient)


@every_operator
@pytest.mark.parametrize("limits", [None, ALL_WINDOWS, SAMPLED], ids=["dense", "all", "sampled"])
def test_what_the_oracle_itself_returns_meets_every_expectation(operator, limits, random_batch):
    batch = random_batch(GRIDS[operator.window.dimensions], density=0.4)
    expected = expectation(operator, batch, limits)
    output, gradients = oracle_run(operator, batch, expected.upstream)
    assert output_fault(expected, output, torch.float64) is None
    assert gradient_fault(expected, gradients, torch.float64) is None


def test_a_thousand_windows_are_sampled_where_each_is_dear(random_batch):
    batch = random_batch((80, 80), density=0.9, channels=1)
    operator = convolution(2, "full", 1, 1, 2)
    limits = OracleLimits(dense_bytes=0, window_multiply_adds=1)
    expected = expectation(operator, batch, limits)
    assert len(expected.rows) == len(expected.output.values) == 1000
    assert expected.coverage.startswith("1,000 sampled windows of ")


def test_more_windows_are_sampled_where_they_are_cheap(random_batch):
    batch = random_batch((80, 80), density=0.9, channels=1)
    operator = convolution(2, "full", 1, 1, 2)
    limits = OracleLimits(dense_bytes=0, window_multiply_adds=4 * 2500)
    assert len(expectation(operator, batch, limits).rows) == 2500


def test_another_seed_samples_other_windows_and_the_same_seed_the_same(random_batch):
    batch = random_batch((20, 20), density=0.5)
    first, second, third = (
        expectation(OPERATORS["full"], batch, SAMPLED, seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.rows, second.rows)
    assert torch.equal(first.upstream, second.upstream)
    assert not torch.equal(first.rows, third.rows)


@every_operator
@pytest.mark.parametrize("limits", [None, ALL_WINDOWS, SAMPLED], ids=["dense", "all", "sampled"])
def test_an_empty_batch_has_an_empty_expectation_whose_gradients_are_zero(
    operator, limits, random_batch
):
    batch = random_batch(GRIDS[operator.window.dimensions], density=0)
    expected = expectation(operator, batch, limits)
    assert expected.coordinates.shape == (0, 1 + operator.window.dimensions)
    assert len(expected.output.values) == 0
    assert not any(gradient.values.any() for gradient in expected.gradients.values())


def test_the_dense_way_is_left_when_its_bytes_or_its_work_exceed_the_limits(random_batch):
    batch = random_batch((10, 10), batch_size=1, channels=2)
    operator = convolution(2, "submanifold", 2, 3, 3)
    size, work = 8 * 100 * (2 + 3), 100 * 9 * 2 * 3
    assert expectation(operator, batch, OracleLimits(size, work)).coverage == "dense"
    assert expectation(operator, batch, OracleLimits(size - 1, work)).coverage == "all windows"
    assert expectation(operator, batch, OracleLimits(size, work - 1)).coverage == "all windows"


@pytest.mark.parametrize("limits", [None, ALL_WINDOWS, SAMPLED], ids=["dense", "all", "sampled"])
def test_values_rounded_to_a_half_type_are_computed_on_in_float64(limits, random_batch):
    network = single(OPERATORS["submanifold"])
    batch = random_batch(dtype=torch.bfloat16)
    rounded = initial_weights(network, 1, torch.bfloat16, CPU)
    widened = {
        name: LayerWeights(layer.weight.double(), layer.bias.double())
        for name, layer in rounded.items()
    }
    half = expect(network, rounded, batch, limits=limits)
    wide = expect(network, widened, batch.to(dtype=torch.float64), limits=limits)
    assert half.upstream.dtype == torch.bfloat16
    close(half.output.values, wide.output.values)
    assert half.gradients["input"].values.dtype == torch.float64


def test_magnitudes_bound_the_values_of_convolutions(random_batch):
    for operator in OPERATORS.values():
        batch = random_batch(GRIDS[operator.window.dimensions])
        expected = expectation(operator, batch)
        for part in (expected.output, *expected.gradients.values()):
            assert bool((part.values.abs() <= part.magnitude + 1e-12).all())


def test_a_magnitude_is_the_sum_of_absolute_products(random_batch):
    # One channel, kernel 1, no bias: |x||w| at the output, |g||w| at the input.
    operator = convolution(2, "full", 1, 1, 1, bias=False)
    batch = random_batch(channels=1)
    expected = expectation(operator, batch)
    weight = initial_weights(single(operator), 1, torch.float64, CPU)["layer"].weight.item()
    close(expected.output.magnitude, batch.features.abs() * abs(weight))
    close(expected.gradients["input"].magnitude, expected.upstream.abs() * abs(weight))
    products = expected.upstream.abs() * batch.features.abs()
    close(expected.gradients["layer.weight"].magnitude.flatten(), products.sum().reshape(1))


def test_networks_too_large_for_a_grid_are_computed_on_active_windows(random_batch):
    down = convolution(2, "full", 3, 5, 2, 2)
    up = InverseConvolution(5, 3, down.window)
    network = Network(
        (Layer("down", down), Layer("active", Rectifier()), Layer("up", up, ("active", INPUT)))
    )
    expected = expectation(network, random_batch(), ALL_WINDOWS)
    dense = expectation(network, random_batch())
    assert (expected.coverage, dense.coverage) == ("all windows", "dense")
    assert torch.allclose(expected.output.values, dense.output.values, rtol=1e-12, atol=1e-12)
    assert set(expected.gradients) == {
        "input",
        "down.weight",
        "down.bias",
        "up.weight",
        "up.bias",
    }


def test_a_leaf_without_influence_is_expected_to_have_a_zero_gradient(random_batch):
    # The last layer reads the input, past the convolution.
    network = Network(
        (
            Layer("unused", convolution(2, "submanifold", 3, 3, 3)),
            Layer("last", Rectifier(), (INPUT,)),
        )
    )
    expected = expectation(network, random_batch())
    assert not expected.gradients["unused.weight"].values.any()
    assert expected.gradients["input"].values.any()


def test_expecting_works_where_gradients_are_switched_off(random_batch):
    with torch.no_grad():
        expected = expectation(OPERATORS["submanifold"], random_batch())
    assert expected.gradients["layer.weight"].values.any()


def test_the_site_set_is_that_of_the_reference(random_batch):
    batch = random_batch(density=0.05)
    expected = expectation(OPERATORS["full"], batch)
    assert torch.equal(expected.coordinates, output_sites(OPERATORS["full"], batch))
