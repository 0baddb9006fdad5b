import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch, from_dense, sparse_batch
from bench.build import BuiltNetwork, initial_weights
from bench.network import single
from bench.operators import convolution, max_pooling
from bench.oracle.dense import Oracle
from bench.oracle.expectation import expect
from bench.oracle.expected import Expected
from bench.oracle.verification import (
    background_fault,
    constant_fault,
    gradient_fault,
    output_fault,
    run_with_gradients,
    value_fault,
)
from bench.sites import neighbours

CPU = torch.device("cpu")
DTYPES = (torch.float64, torch.float32, torch.bfloat16)
EXACT = (torch.float64, torch.float32)

in_every_type = pytest.mark.parametrize("dtype", DTYPES, ids=str)
in_exact_types = pytest.mark.parametrize("dtype", EXACT, ids=str)


class Subject:
    """A full 3x3 convolution with its expectation, and torch's own answer in the type under test."""

    def __init__(self, batch):
        self.batch = batch
        self.dtype = batch.features.dtype
        self.operator = convolution(2, "full", batch.channels, 8, 3, 1, 1)
        network = single(self.operator)
        self.weights = initial_weights(network, 0, self.dtype, CPU)["layer"]
        self.expectation = expect(network, {"layer": self.weights}, batch)

    def output(self, weight=None):
        weight = self.weights.weight if weight is None else weight
        dense = F.conv2d(self.batch.dense(), weight, self.weights.bias, padding=1)
        mask = F.conv2d(self.batch.mask().double(), torch.ones(1, 1, 3, 3).double(), padding=1) > 0
        return from_dense(dense, mask)

    def fault(self, output):
        return output_fault(self.expectation, output, self.dtype)


@pytest.fixture
def subject(random_batch):
    def make(dtype):
        return Subject(random_batch((24, 24), channels=16, dtype=dtype))

    return make


@in_every_type
def test_the_right_output_has_no_fault(dtype, subject):
    case = subject(dtype)
    assert case.fault(case.output()) is None


@in_every_type
def test_a_dropped_tap_is_found(dtype, subject):
    case = subject(dtype)
    weight = case.weights.weight.clone()
    weight[:, :, 2, 0] = 0
    assert "output is wrong in" in case.fault(case.output(weight))


@in_every_type
def test_one_missing_pair_among_thousands_is_found_where_it_is_missing(dtype, subject):
    case = subject(dtype)
    rows, _ = neighbours(case.operator.window, case.expectation.coordinates, case.batch)
    pairs = (rows >= 0).nonzero()
    assert len(pairs) > 2500
    output, tap = pairs[len(pairs) // 2].tolist()
    lost = case.weights.weight.flatten(2)[:, :, tap] @ case.batch.features[rows[output, tap]]
    right = case.output()
    features = right.features.clone()
    features[output] -= lost
    assert f"the worst, at [{output}, " in case.fault(right.with_features(features))


@in_every_type
def test_a_bias_at_an_inactive_site_is_found_as_a_spurious_site(dtype, random_batch):
    case = Subject(random_batch((24, 24), density=0.02, channels=16, dtype=dtype))
    right = case.output()
    stray = (~right.mask()).squeeze(1).nonzero()[0]
    spurious = sparse_batch(
        torch.cat([right.coordinates, stray[None].int()]),
        torch.cat([right.features, case.weights.bias[None]]),
        right.batch_size,
        right.grid_size,
    )
    fault = case.fault(spurious)
    assert fault == f"1 output sites should be inactive, {tuple(stray.tolist())} first"


@in_every_type
def test_a_bias_left_in_a_grid_at_an_inactive_site_is_found(dtype, random_batch):
    case = Subject(random_batch((24, 24), density=0.02, channels=16, dtype=dtype))
    right = case.output()
    masked = right.dense()
    assert background_fault(masked, right) is None
    unmasked = F.conv2d(case.batch.dense(), case.weights.weight, case.weights.bias, padding=1)
    inactive = (~right.mask()).squeeze(1).nonzero()
    assert background_fault(unmasked, right) == (
        f"{len(inactive):,} inactive output sites are not zero, {tuple(inactive[0].tolist())} first"
    )


def test_nan_in_a_grid_at_an_inactive_site_is_found(subject):
    right = subject(torch.float64).output()
    grid = right.dense()
    sample, row, column = (~right.mask()).squeeze(1).nonzero()[-1].tolist()
    grid[sample, 5, row, column] = math.nan
    assert background_fault(grid, right) == (
        f"1 inactive output sites are not zero, {(sample, row, column)} first"
    )


@in_every_type
def test_a_missing_site_is_found_and_named(dtype, subject):
    case = subject(dtype)
    right = case.output()
    rows = torch.arange(right.sites) != 7
    short = replace(right, coordinates=right.coordinates[rows], features=right.features[rows])
    missing = tuple(right.coordinates[7].tolist())
    assert case.fault(short) == f"1 active output sites are missing, {missing} first"


def test_missing_and_spurious_sites_are_both_named(subject):
    case = subject(torch.float64)
    right = case.output()
    coordinates = right.coordinates.clone()
    coordinates[3, 2] = 99
    fault = case.fault(replace(right, coordinates=coordinates))
    assert "1 active output sites are missing" in fault
    assert "1 output sites should be inactive" in fault


def test_a_repeated_site_is_found(subject):
    case = subject(torch.float64)
    right = case.output()
    twice = torch.cat([torch.arange(right.sites), torch.tensor([5])]).sort().values
    fault = case.fault(
        replace(right, coordinates=right.coordinates[twice], features=right.features[twice])
    )
    assert fault == "output has 1 repeated sites"


@in_every_type
def test_swapped_rows_are_found_with_and_without_their_coordinates(dtype, subject):
    case = subject(dtype)
    right = case.output()
    order = torch.arange(right.sites)
    order[10], order[11] = 11, 10
    both = replace(right, coordinates=right.coordinates[order], features=right.features[order])
    assert case.fault(both) == "output sites are not in canonical order"
    assert "output is wrong in" in case.fault(right.with_features(right.features[order]))


@in_every_type
def test_another_element_type_is_found(dtype, subject):
    case = subject(dtype)
    other = torch.float32 if dtype != torch.float32 else torch.float64
    assert case.fault(case.output().to(dtype=other)) == (
        f"output features are {other}, expected {dtype}"
    )


def test_another_grid_size_is_found(subject):
    case = subject(torch.float64)
    right = case.output()
    assert case.fault(replace(right, grid_size=(24, 25))) == (
        "output grid size is (24, 25), expected (24, 24)"
    )


@in_every_type
def test_another_number_of_channels_is_found(dtype, subject):
    case = subject(dtype)
    right = case.output()
    assert "has shape" in case.fault(right.with_features(right.features[:, :-1]))


@in_every_type
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found_where_it_is(dtype, value, subject):
    case = subject(dtype)
    right = case.output()
    right.features[4, 3] = value
    assert f"wrong in 1 of {right.features.numel():,} values; the worst, at [4, 3], is {value}" in (
        case.fault(right)
    )


def gradients_of(case):
    """Gradients of the oracle, rounded to the type under test: as right as they can be."""
    built = BuiltNetwork(
        Oracle(), single(case.operator), {"layer": case.weights}, torch.float64, CPU
    )
    upstream = case.expectation.upstream.double()
    batch = case.batch.to(dtype=torch.float64)
    _, gradients = run_with_gradients(built, batch, upstream)
    return {name: gradient.to(case.dtype) for name, gradient in gradients.items()}


@in_exact_types
@pytest.mark.parametrize("name", ["input", "layer.weight", "layer.bias"])
def test_one_gradient_off_by_a_thousandth_is_found(dtype, name, subject):
    case = subject(dtype)
    gradients = gradients_of(case)
    assert gradient_fault(case.expectation, gradients, dtype) is None
    flat = gradients[name].flatten()
    flat[flat.abs().argmax()] *= 1 + 1e-3
    gradients[name] = flat.view_as(gradients[name])
    fault = gradient_fault(case.expectation, gradients, dtype)
    assert f"gradient at {name} is wrong in 1 of" in fault


@pytest.mark.parametrize("name", ["input", "layer.weight", "layer.bias"])
def test_one_bfloat16_gradient_beyond_rounding_is_found_and_one_within_is_not(name, subject):
    case = subject(torch.bfloat16)
    expected = case.expectation.gradients[name]
    place = int(expected.magnitude.flatten().argmax())
    for share, found in ((0.001, False), (0.1, True)):
        gradients = gradients_of(case)
        flat = gradients[name].flatten().double()
        flat[place] += share * expected.magnitude.flatten()[place]
        gradients[name] = flat.view_as(gradients[name]).to(torch.bfloat16)
        fault = gradient_fault(case.expectation, gradients, torch.bfloat16)
        assert (fault is not None) == found


def test_gradients_of_the_wrong_shape_are_found(subject):
    case = subject(torch.float64)
    gradients = gradients_of(case)
    gradients["layer.weight"] = gradients["layer.weight"].flatten(1)
    assert "gradient at layer.weight has shape" in gradient_fault(
        case.expectation, gradients, torch.float64
    )


class CutsTheGraph(Oracle):
    """Right outputs, no gradients."""

    def decode(self, native):
        batch = super().decode(native)
        return batch.with_features(batch.features.detach())


def test_an_implementation_that_cuts_the_graph_is_said_to_have_a_wrong_gradient(subject):
    case = subject(torch.float64)
    cuts = CutsTheGraph()
    built = BuiltNetwork(cuts, single(case.operator), {"layer": case.weights}, torch.float64, CPU)
    output, gradients = run_with_gradients(built, case.batch, case.expectation.upstream)
    assert case.fault(output) is None
    assert "gradient at input is wrong" in gradient_fault(
        case.expectation, gradients, torch.float64
    )


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16], ids=str)
def test_one_rounding_of_the_type_is_always_allowed_and_a_hundred_never(dtype):
    values = torch.linspace(-2, 2, 101, dtype=torch.float64)
    expected = Expected(values, values.abs(), terms=9)
    assert value_fault("output", values.to(dtype), expected, dtype) is None
    unit = torch.finfo(dtype).eps / 2
    far = values * (1 + 100 * unit)
    assert value_fault("output", far, expected, dtype) is not None


@in_exact_types
@pytest.mark.parametrize("terms", [9, 100, 10_000])
def test_a_sum_may_be_off_by_twice_the_square_root_of_its_terms_and_hardly_more(dtype, terms):
    expected = Expected(torch.zeros(3).double(), torch.ones(3).double(), terms)
    bound = 2 * math.sqrt(terms) * torch.finfo(dtype).eps / 2
    off = torch.tensor([0, bound, 0], dtype=dtype)
    assert value_fault("output", off, expected, dtype) is None
    assert "wrong in 1 of 3" in value_fault("output", 8 * off, expected, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_sum_in_half_a_float_may_be_off_by_eight_roundings_however_long(dtype):
    unit = torch.finfo(dtype).eps / 2
    for terms in (1, 100, 10_000):
        expected = Expected(torch.zeros(3).double(), torch.ones(3).double(), terms)
        for roundings, is_right in ((8, True), (24, False)):
            off = torch.tensor([0, roundings * unit, 0], dtype=dtype)
            assert (value_fault("output", off, expected, dtype) is None) == is_right


@in_every_type
def test_a_wrong_ground_state_is_found_with_its_channel(dtype):
    values = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    expected = Expected(values, values.abs(), terms=9)
    right = values.to(dtype)
    wrong = right * torch.tensor([1, 1.2, 1], dtype=dtype)
    assert constant_fault(right, expected) is None
    assert "ground state is wrong in 1 of 3 values; the worst, at [1]" in (
        constant_fault(wrong, expected)
    )


@in_every_type
def test_a_grid_that_holds_another_ground_state_at_one_inactive_site_is_found(dtype, subject):
    right = subject(dtype).output()
    values = torch.linspace(0.5, 2.0, right.channels, dtype=torch.float64)
    expected = Expected(values, values.abs(), terms=9)
    ground = values.to(dtype)[None, :, None, None]
    grid = torch.where(right.mask(), right.dense(), ground)
    assert background_fault(grid, right, expected) is None
    sample, row, column = (~right.mask()).squeeze(1).nonzero()[-1].tolist()
    grid[sample, 5, row, column] = 0
    assert "ground state is wrong in 1 of" in background_fault(grid, right, expected)


def test_a_pooled_value_must_be_one_of_the_values_pooled(random_batch):
    batch = random_batch(dtype=torch.float32)
    network = single(max_pooling(2, 2, 2))
    expectation = expect(network, {}, batch)
    mask = F.max_pool2d(batch.mask().float(), 2)
    right = from_dense(F.max_pool2d(batch.dense(), 2), mask)
    assert output_fault(expectation, right, torch.float32) is None
    # What the libraries that skip inactive sites return: the largest active value.
    active_only = batch.dense().masked_fill(~batch.mask(), -math.inf)
    wrong = from_dense(F.max_pool2d(active_only, 2), mask)
    assert "output is wrong" in output_fault(expectation, wrong, torch.float32)


def by_torch(operator, weights, batch, upstream):
    """Output and gradients of torch's dense operator in the batch's own type."""
    leaves = [
        tensor.detach().clone().requires_grad_()
        for tensor in (batch.features, weights.weight, weights.bias)
    ]
    features, weight, bias = leaves
    window = operator.window
    convolve = {2: F.conv2d, 3: F.conv3d}[window.dimensions]
    arguments = (window.stride, window.padding, window.dilation)
    dense = convolve(batch.with_features(features).dense(), weight, bias, *arguments)
    ones = torch.ones((1, 1, *window.kernel_size), dtype=torch.float64)
    output = from_dense(dense, convolve(batch.mask().double(), ones, None, *arguments) > 0)
    gradients = torch.autograd.grad(output.features, leaves, upstream)
    return output, dict(zip(("input", "layer.weight", "layer.bias"), gradients, strict=True))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("dimensions", "channels", "kernel", "grid_size"),
    [
        (2, 1, 3, (12, 12)),
        (2, 16, 3, (14, 14)),
        (2, 64, 5, (10, 10)),
        (2, 280, 5, (8, 8)),
        (3, 3, 2, (6, 6, 6)),
        (3, 32, 3, (6, 6, 6)),
        (3, 256, 3, (4, 4, 4)),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_what_torch_computes_is_never_flagged(
    dimensions, channels, kernel, grid_size, dtype, seed, random_batch
):
    batch = random_batch(grid_size, density=0.5, channels=channels, dtype=dtype, seed=seed)
    operator = convolution(dimensions, "full", channels, 6, kernel, 1, kernel // 2)
    network = single(operator)
    weights = initial_weights(network, seed, dtype, CPU)
    expectation = expect(network, weights, batch, seed=seed)
    output, gradients = by_torch(operator, weights["layer"], batch, expectation.upstream)
    assert output_fault(expectation, output, dtype) is None
    assert gradient_fault(expectation, gradients, dtype) is None


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("same_sign", [False, True])
def test_sums_over_many_sites_are_never_flagged(dtype, same_sign, random_batch):
    # The gradient at a weight is a sum over all sites: here of 20,000, of one sign or of both.
    batch = random_batch((150, 150), density=0.9, channels=1, batch_size=1, dtype=dtype)
    if same_sign:
        batch = batch.with_features(batch.features.abs())
    operator = convolution(2, "full", 1, 2, 2)
    weights = initial_weights(single(operator), 0, dtype, CPU)
    expectation = expect(single(operator), weights, batch)
    if same_sign:
        expectation = with_upstream(operator, weights, batch, expectation)
    output, gradients = by_torch(operator, weights["layer"], batch, expectation.upstream)
    assert output_fault(expectation, output, dtype) is None
    assert gradient_fault(expectation, gradients, dtype) is None


def with_upstream(operator, weights, batch, expectation):
    """The same expectation for an upstream gradient without negative entries."""
    upstream = expectation.upstream.abs()
    built = BuiltNetwork(Oracle(), single(operator), weights, torch.float64, CPU)
    wide = batch.to(dtype=torch.float64)
    _, gradients = run_with_gradients(built, wide, upstream.double())
    expected = {
        name: replace(expectation.gradients[name], values=gradient)
        for name, gradient in gradients.items()
    }
    return replace(expectation, upstream=upstream, gradients=expected)


def test_an_empty_output_is_right_where_nothing_is_active(random_batch):
    batch = random_batch(density=0)
    operator = convolution(2, "full", 3, 2, 3)
    weights = initial_weights(single(operator), 0, torch.float64, CPU)
    expectation = expect(single(operator), weights, batch)
    nothing = SparseBatch(
        torch.empty((0, 3), dtype=torch.int32), torch.empty((0, 2)).double(), 2, (7, 6)
    )
    assert output_fault(expectation, nothing, torch.float64) is None
    one = SparseBatch(torch.zeros((1, 3)).int(), torch.zeros((1, 2)).double(), 2, (7, 6))
    assert "should be inactive" in output_fault(expectation, one, torch.float64)
