"""A network in ground-state mode is the plain dense network, on every implementation."""

import pytest
import torch
from torch import nn

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import LayerWeights, initial_weights
from bench.errors import UserError
from bench.ground_state import GroundStateNetwork, build, why_no_ground_state
from bench.measure.candidate import Candidate, Problem
from bench.network import INPUT, Layer, Network
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
from bench.oracle.plain_dense import plain_dense
from bench.oracle.verification import gradient_fault, output_fault, run_with_gradients
from bench.workload import Workload
from impls.dense import Dense, DenseFromSparse
from impls.gather import Gather
from impls.masked import Masked
from suites.patterns import Uniform

CPU = torch.device("cpu")
GROUND_STATE = Background.GROUND_STATE
IMPLEMENTATIONS = (Dense(), DenseFromSparse(), Masked(), Gather())
GRIDS = {2: (22, 20), 3: (12, 14, 13)}
"""Grids that the stacks below take."""

every_implementation = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS, ids=lambda implementation: implementation.name
)


def stack(dimensions, slope=0.0, *, padding=0, bias=True):
    """A DeepCNet in small: 3x3 and 2x2 convolutions, pooling, dropout, a linear layer."""
    return Network(
        (
            Layer("conv1", convolution(dimensions, "full", 2, 5, 3, 1, padding, bias=bias)),
            Layer("relu1", Rectifier(slope)),
            Layer("pool1", max_pooling(dimensions, 2, 2)),
            Layer("conv2", convolution(dimensions, "full", 5, 6, 2)),
            Layer("relu2", Rectifier(slope)),
            Layer("pool2", max_pooling(dimensions, 2, 2)),
            Layer("dropout", Dropout(0.5)),
            Layer("conv3", convolution(dimensions, "full", 6, 7, 2)),
            Layer("relu3", Rectifier(slope)),
            Layer("linear", Linear(7, 4)),
        )
    )


def torch_stack(dimensions, slope=0.0, *, padding=0, bias=True):
    """The same by torch's own modules, the linear layer as a convolution over one site."""
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dimensions]
    return nn.Sequential(
        conv(2, 5, 3, padding=padding, bias=bias),
        nn.LeakyReLU(slope),
        pool(2, 2),
        conv(5, 6, 2),
        nn.LeakyReLU(slope),
        pool(2, 2),
        nn.Dropout(0.5),
        conv(6, 7, 2),
        nn.LeakyReLU(slope),
        conv(7, 4, 1),
    ).eval()


def weights_of(network, seed=0, dtype=torch.float64):
    return initial_weights(network, seed, dtype, CPU)


def loaded(module, weights):
    """Give a Sequential the weights of a network, in order."""
    own = [part for part in module if hasattr(part, "weight")]
    for part, layer in zip(own, weights.values(), strict=True):
        part.weight = nn.Parameter(layer.weight.reshape(part.weight.shape).clone())
        if layer.bias is not None:
            part.bias = nn.Parameter(layer.bias.clone())
    return module


def everywhere(built, batch):
    """What a built network answers at every site of its output: `[B, C, *grid]`."""
    implementation = built.implementation
    answer = built.answer(implementation.encode(batch))
    values = implementation.features(answer.native)
    if values.ndim > 2:
        return values
    output = implementation.decode(answer.native)
    shape = (1, -1, *(1,) * output.dimensions)
    inactive = answer.background.view(shape) * ~output.mask()
    return output.dense() + inactive


def gradients(values, leaves, seed=5):
    generator = torch.Generator().manual_seed(seed)
    upstream = torch.randn(values.shape, generator=generator, dtype=torch.float64)
    return torch.autograd.grad(values, leaves, upstream.to(values))


def assert_the_same(implementation, network, module, batch, seed, relative):
    """Outputs at all sites and gradients of all parameters and features are torch's."""
    weights = weights_of(network, seed, batch.features.dtype)
    exact = {
        name: LayerWeights(own.weight.double(), None if own.bias is None else own.bias.double())
        for name, own in weights.items()
    }
    loaded(module, exact)
    expected_features = batch.features.double().requires_grad_()
    expected = module(batch.with_features(expected_features).dense())
    expected_gradients = gradients(expected, [expected_features, *module.parameters()])

    built = build(implementation, network, weights, batch.features.dtype, CPU, GROUND_STATE)
    features = batch.features.clone().requires_grad_()
    values = everywhere(built, batch.with_features(features))
    leaves = {name: (operator, leaf) for name, operator, leaf in built.leaves()}
    names = [
        f"{name}.{part}"
        for name, own in weights.items()
        for part in ("weight", "bias")
        if getattr(own, part) is not None
    ]
    assert sorted(leaves) == sorted(names)
    found = gradients(values, [features, *(leaves[name][1] for name in names)])
    found = [found[0]] + [
        built.torch_layout(name, leaves[name][0], gradient)
        for name, gradient in zip(names, found[1:], strict=True)
    ]
    for actual, wanted in zip([values, *found], [expected, *expected_gradients], strict=True):
        assert actual.numel() == wanted.numel()
        scale = wanted.abs().max() if wanted.numel() else 0
        error = (actual.double().reshape(wanted.shape) - wanted).abs()
        assert not error.numel() or error.max() <= relative * scale


@every_implementation
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slope", [0.0, 1 / 3])
@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_outputs_and_gradients_equal_plain_torch(
    implementation, dimensions, slope, seed, dtype, relative, random_batch
):
    batch = random_batch(
        GRIDS[dimensions], density=0.05, channels=2, batch_size=3, seed=seed, dtype=dtype
    )
    network, module = stack(dimensions, slope), torch_stack(dimensions, slope)
    assert_the_same(implementation, network, module, batch, seed, relative)


@every_implementation
@pytest.mark.parametrize(
    "options", [{"padding": 1}, {"bias": False}, {"padding": 2, "bias": False}], ids=str
)
def test_a_first_convolution_may_be_padded_or_lack_a_bias(implementation, options, random_batch):
    batch = random_batch((22, 20), density=0.05, channels=2)
    network, module = stack(2, **options), torch_stack(2, **options)
    assert_the_same(implementation, network, module, batch, 0, 1e-10)


def with_empty_samples(batch, kept):
    """The same batch with all samples but `kept` emptied."""
    rows = torch.isin(batch.coordinates[:, 0], torch.tensor(kept, dtype=torch.int32))
    return SparseBatch(
        batch.coordinates[rows], batch.features[rows], batch.batch_size, batch.grid_size
    )


@every_implementation
@pytest.mark.parametrize("kept", [[1], []], ids=["one sample", "no sample"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_empty_samples_and_batches_answer_as_dense_does(
    implementation, dimensions, kept, random_batch
):
    batch = with_empty_samples(
        random_batch(GRIDS[dimensions], density=0.1, channels=2, batch_size=3), kept
    )
    assert_the_same(implementation, stack(dimensions), torch_stack(dimensions), batch, 1, 1e-10)


@every_implementation
def test_a_full_grid_answers_as_dense_does(implementation, random_batch):
    batch = random_batch((22, 20), density=1, channels=2)
    assert_the_same(implementation, stack(2), torch_stack(2), batch, 2, 1e-10)


BRANCHES = Network(
    (
        Layer("stem", convolution(2, "full", 2, 3, 3)),
        Layer("active", Rectifier(0.1)),
        Layer("left", convolution(2, "full", 3, 4, 2)),
        Layer("right", convolution(2, "full", 3, 4, 2), ("active",)),
        Layer("sum", Add(), ("left", "right")),
        Layer("around", convolution(2, "full", 2, 4, 4, bias=False), (INPUT,)),
        Layer("both", Concatenate(), ("around", "sum")),
        Layer("pool", max_pooling(2, 3, 2, 1)),
        Layer("head", convolution(2, "full", 8, 2, 2)),
    )
)
"""The branch around the stem has no bias, so that its ground state is 0."""


class TorchBranches(nn.Module):
    """The same in torch's own words."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3)
        self.left = nn.Conv2d(3, 4, 2)
        self.right = nn.Conv2d(3, 4, 2)
        self.around = nn.Conv2d(2, 4, 4, bias=False)
        self.head = nn.Conv2d(8, 2, 2)

    def __iter__(self):
        return self.children()

    def forward(self, values):
        stem = nn.functional.leaky_relu(self.stem(values), 0.1)
        joined = torch.cat([self.around(values), self.left(stem) + self.right(stem)], 1)
        return self.head(nn.functional.max_pool2d(joined, 3, 2, 1))


@every_implementation
@pytest.mark.parametrize("kept", [[0, 1], [0], []], ids=["all", "one sample", "no sample"])
def test_branches_are_added_and_concatenated_with_their_ground_states(
    implementation, kept, random_batch
):
    batch = with_empty_samples(random_batch((13, 14), density=0.05, channels=2), kept)
    assert_the_same(implementation, BRANCHES, TorchBranches(), batch, 3, 1e-10)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_plain_dense_reference_is_torchs_own_network(dimensions, random_batch):
    batch = random_batch(GRIDS[dimensions], channels=2)
    network, module = stack(dimensions, 0.25), torch_stack(dimensions, 0.25)
    weights = weights_of(network)
    expected = loaded(module, weights)(batch.dense())
    found = plain_dense(network, weights, batch.dense())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_deviations_at_inactive_sites_of_a_grid_stay_exactly_zero(random_batch):
    batch = random_batch((22, 20), density=0.02, channels=2, dtype=torch.float32)
    network = stack(2, 0.3)
    weights = weights_of(network, dtype=torch.float32)
    built = GroundStateNetwork(Masked(), network, weights, torch.float32, CPU).eval()
    answer = built.answer(Masked().encode(batch))
    values, mask = answer.native
    inactive = ~mask.bool().squeeze(1)
    assert inactive.any()
    assert (values.movedim(1, -1)[inactive] == answer.background).all()


def test_a_network_without_biases_has_no_background(random_batch):
    network = Network((Layer("conv", convolution(2, "full", 2, 3, 3, bias=False)),))
    built = build(Gather(), network, weights_of(network), torch.float64, CPU, GROUND_STATE)
    answer = built.answer(Gather().encode(random_batch(channels=2)))
    assert answer.background is None


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda each: each.name)
def test_dropout_drops_nothing_in_training_either(implementation, random_batch):
    layers = convolution(2, "full", 2, 3, 3), Dropout(0.5), Rectifier()
    network = Network(tuple(Layer(f"layer{n}", each) for n, each in enumerate(layers)))
    built = build(implementation, network, weights_of(network), torch.float64, CPU, GROUND_STATE)
    native = implementation.encode(random_batch(channels=2))
    calm = implementation.decode(built.answer(native).native).features
    built.train()
    assert torch.equal(implementation.decode(built.answer(native).native).features, calm)


@pytest.mark.parametrize(
    "layers", [[Rectifier()], [max_pooling(2, 2, 2), Rectifier()]], ids=["rectifier", "pooling"]
)
def test_a_network_without_weights_keeps_a_background_of_0(layers, random_batch):
    network = Network(tuple(Layer(f"layer{n}", each) for n, each in enumerate(layers)))
    batch = random_batch(channels=2)
    expectation = expect(network, {}, batch, background=GROUND_STATE)
    problem = Problem(network, {}, batch, expectation, GROUND_STATE)
    candidate = Candidate(Gather(), problem)
    candidate.verify_outputs()
    candidate.verify_gradients()


FULL = convolution(2, "full", 2, 2, 3)
PADDED = convolution(2, "full", 2, 2, 3, padding=1)
UNBIASED = convolution(2, "full", 2, 2, 3, padding=1, bias=False)
DOWN = convolution(2, "full", 2, 2, 2, 2)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [FULL, PADDED],
            "layer 'layer1': it pads with 0, and inactive sites before it hold something else",
        ),
        ([FULL, Rectifier(), PADDED], "layer 'layer2': it pads with 0"),
        ([convolution(2, "submanifold", 2, 2, 3)], "layer 'layer0': a submanifold convolution"),
        ([convolution(2, "sparsity_invariant", 2, 2, 3)], "layer 'layer0': a sparsity invariant"),
        ([FULL, BatchNorm(2)], "layer 'layer1': a batch norm over active sites"),
        ([max_pooling(2, 2, 1, 1, 2)], "layer 'layer0': a dilated window may lie on padding alone"),
    ],
)
def test_a_network_without_a_ground_state_is_refused_by_the_layers_name(layers, words):
    network = Network(tuple(Layer(f"layer{n}", layer) for n, layer in enumerate(layers)))
    assert why_no_ground_state(network).startswith(words)
    with pytest.raises(UserError, match=words):
        build(Gather(), network, weights_of(network), torch.float64, CPU, GROUND_STATE)
    with pytest.raises(UserError, match=words):
        expect(network, {}, Uniform((8, 8), 1, 0.1).batch(2, 0), background=GROUND_STATE)
    with pytest.raises(UserError, match=f"workload 'mine' has no ground state to keep: {words}"):
        Workload("mine", network, Uniform((8, 8), 1, 0.1), 2, background=GROUND_STATE)


def test_an_inverse_convolution_has_no_ground_state():
    up = InverseConvolution(2, 2, DOWN.window)
    network = Network((Layer("down", DOWN), Layer("up", up, ("down", INPUT))))
    assert why_no_ground_state(network).startswith("layer 'up': an inverse convolution")


@pytest.mark.parametrize(
    "layers",
    [
        [PADDED],
        [UNBIASED, PADDED],
        [UNBIASED, Rectifier(), max_pooling(2, 3, 1, 1), UNBIASED],
        [FULL, max_pooling(2, 3, 2, 1), FULL],
        [FULL, convolution(2, "submanifold", 2, 2, 1), Dropout(0.5)],
    ],
)
def test_padding_of_a_background_that_is_known_to_be_zero_is_no_obstacle(layers, random_batch):
    network = Network(tuple(Layer(f"layer{n}", layer) for n, layer in enumerate(layers)))
    assert why_no_ground_state(network) is None
    batch = random_batch((11, 12), channels=2)
    weights = weights_of(network)
    built = build(Gather(), network, weights, torch.float64, CPU, GROUND_STATE)
    values = everywhere_or_zero(built, batch)
    torch.testing.assert_close(values, plain_dense(network, weights, batch.dense()))


def everywhere_or_zero(built, batch):
    answer = built.answer(Gather().encode(batch))
    if answer.background is None:
        return Gather().decode(answer.native).dense()
    return everywhere(built, batch)


class ForgetsTheGround(Gather):
    """Keeps a bias of its own, which the ground state then counts twice."""

    name = "forgets_the_ground"

    def convolution(self, operator, weight, bias):
        return super().convolution(operator, weight, torch.full((operator.out_channels,), 0.01))


LIMITS = {
    "plain dense": None,
    "all windows": OracleLimits(dense_bytes=0),
    "all windows of 1 of 3 samples": OracleLimits(dense_bytes=0, window_multiply_adds=1),
}


@pytest.mark.parametrize("coverage", LIMITS)
@pytest.mark.parametrize(
    "implementation", [*IMPLEMENTATIONS, ForgetsTheGround()], ids=lambda i: i.name
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_way_of_the_oracle_tells_right_from_wrong(
    implementation, coverage, dtype, random_batch
):
    batch = random_batch((22, 20), density=0.05, channels=2, batch_size=3, dtype=dtype)
    network = stack(2)
    weights = weights_of(network, dtype=dtype)
    expectation = expect(network, weights, batch, background=GROUND_STATE, limits=LIMITS[coverage])
    assert expectation.coverage == coverage
    candidate = Candidate(
        implementation, Problem(network, weights, batch, expectation, GROUND_STATE)
    )
    with torch.no_grad():
        answer = candidate.built.answer(candidate.native)
        output = implementation.decode(answer.native)
    fault = output_fault(expectation, output, dtype)
    if isinstance(implementation, ForgetsTheGround):
        assert fault is not None
    else:
        candidate.verify_outputs()
        candidate.verify_gradients()


def test_a_gradient_that_does_not_pass_through_the_ground_state_is_found(random_batch):
    batch = random_batch((22, 20), density=0.02, channels=2)
    network = stack(2)
    weights = weights_of(network)
    expectation = expect(network, weights, batch, background=GROUND_STATE)
    built = build(Gather(), network, weights, torch.float64, CPU, GROUND_STATE)
    upstreams = expectation.upstream, expectation.background_upstream
    _, right = run_with_gradients(built, batch, *upstreams)
    assert gradient_fault(expectation, right, torch.float64) is None
    _, wrong = run_with_gradients(built, batch, upstreams[0])
    assert "gradient at" in gradient_fault(expectation, wrong, torch.float64)
