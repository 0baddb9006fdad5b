from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bench.background import Background
from bench.build import BuiltNetwork, initial_weights
from bench.dtypes import products_in
from bench.ground_state import build
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    BatchNorm,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)
from bench.oracle.plain_dense import plain_dense
from bench.phases import Phase
from bench.window import window
from impls import dense as module_of_dense
from impls import torch_operators
from impls.dense import Dense, DenseFromSparse
from impls.torch_operators import convolve, touched, why_torch_lacks

CPU = torch.device("cpu")
DENSE = Dense()
CONVOLVE = {2: F.conv2d, 3: F.conv3d}

with_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)


def built(operator, dtype=torch.float32):
    network = operator if isinstance(operator, Network) else single(operator)
    weights = initial_weights(network, 0, dtype, CPU)
    return BuiltNetwork(DENSE, network, weights, dtype, CPU)


GEOMETRIES = {
    "3D": ((1, 4, 6, 7, 5), (6, 4, 3, 3, 3), window(3, 3, 1, 1)),
    "3D strided": ((1, 3, 6, 7, 5), (2, 3, 2, 3, 1), window(3, (2, 3, 1), 2, (0, 1, 0))),
    "3D dilated": ((1, 3, 6, 7, 5), (2, 3, 2, 2, 2), window(3, 2, 1, 1, 2)),
    "3D one channel": ((1, 1, 4, 4, 4), (1, 1, 3, 3, 3), window(3, 3)),
    "2D few channels": ((1, 4, 9, 8), (6, 4, 3, 3), window(2, 3, 1, 1)),
    "2D many channels": ((1, 16, 9, 8), (6, 16, 2, 3), window(2, (2, 3), (1, 2))),
}


@pytest.fixture
def onednn_calls(monkeypatch):
    """Count the calls of oneDNN's convolution that are made past torch's choice."""
    calls = []
    inner = torch.mkldnn_convolution

    def count(*arguments):
        calls.append(arguments)
        return inner(*arguments)

    monkeypatch.setattr(torch, "mkldnn_convolution", count)
    return calls


@with_onednn
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize(("shape", "weight_shape", "geometry"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_onednn_path_gives_torchs_own_values_and_gradients(
    shape, weight_shape, geometry, layout, bias, onednn_calls
):
    generator = torch.Generator().manual_seed(0)
    values, weight, offset = (
        torch.randn(size, generator=generator) for size in (shape, weight_shape, weight_shape[:1])
    )
    if layout == "channels last":
        memory_format = module_of_dense.CHANNELS_LAST[geometry.dimensions]
        values = values.contiguous(memory_format=memory_format)
        weight = weight.contiguous(memory_format=memory_format)
    ours = [tensor.clone().requires_grad_() for tensor in (values, weight, offset)]
    theirs = [tensor.double().requires_grad_() for tensor in (values, weight, offset)]
    found = convolve(ours[0], ours[1], ours[2] if bias else None, geometry)
    assert len(onednn_calls) == 1
    expected = CONVOLVE[geometry.dimensions](
        theirs[0],
        theirs[1],
        theirs[2] if bias else None,
        geometry.stride,
        geometry.padding,
        geometry.dilation,
    )
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    upstream = torch.randn(expected.shape, generator=generator)
    count = 3 if bias else 2
    gradients = torch.autograd.grad(found, ours[:count], upstream)
    right = torch.autograd.grad(expected, theirs[:count], upstream.double())
    for gradient, wanted in zip(gradients, right, strict=True):
        assert gradient.shape == wanted.shape
        torch.testing.assert_close(gradient.double(), wanted, rtol=1e-4, atol=1e-3)


@with_onednn
@pytest.mark.parametrize("leaf", range(3), ids=["values", "weight", "bias"])
def test_the_onednn_path_gives_one_gradient_alone(leaf):
    shape, weight_shape, geometry = GEOMETRIES["3D"]
    leaves = [torch.randn(size) for size in (shape, weight_shape, weight_shape[:1])]
    leaves[leaf].requires_grad_()
    (found,) = torch.autograd.grad(convolve(*leaves, geometry).sum(), leaves[leaf])
    wide = [tensor.detach().double() for tensor in leaves]
    wide[leaf].requires_grad_()
    (expected,) = torch.autograd.grad(F.conv3d(*wide, padding=1).sum(), wide[leaf])
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


@with_onednn
@pytest.mark.parametrize(
    ("shape", "kernel", "dtype", "taken"),
    [
        ((1, 4, 6, 6, 6), 3, torch.float32, True),
        ((2, 4, 6, 6, 6), 3, torch.float32, False),
        ((1, 4, 6, 6, 6), 3, torch.float64, False),
        ((1, 4, 6, 6, 6), 5, torch.float32, False),
        ((1, 16, 32, 40, 4), 3, torch.float32, True),
        ((1, 16, 32, 41, 4), 3, torch.float32, False),
    ],
    ids=str,
)
def test_torch_is_overruled_only_where_it_would_avoid_onednn(
    shape, kernel, dtype, taken, onednn_calls
):
    weight = torch.zeros((1, shape[1], *(kernel,) * 3), dtype=dtype)
    with torch.no_grad():
        convolve(torch.zeros(shape, dtype=dtype), weight, None, window(3, kernel, 1, 2))
    assert bool(onednn_calls) == taken


@with_onednn
def test_switching_onednn_off_is_respected(onednn_calls, monkeypatch):
    shape, weight_shape, geometry = GEOMETRIES["3D"]
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    with torch.no_grad():
        convolve(torch.zeros(shape), torch.zeros(weight_shape), None, geometry)
    assert onednn_calls == []


@pytest.fixture
def masks(monkeypatch):
    """Count the masks and site counts that are computed."""
    computed = []
    for name in ("touched", "count_active"):
        inner = getattr(torch_operators, name)

        def compute(mask, geometry, inner=inner, name=name):
            computed.append(name)
            return inner(mask, geometry)

        monkeypatch.setattr(module_of_dense, name, compute)
    return computed


def test_an_unbiased_full_convolution_computes_no_mask_in_its_forward_pass(masks, random_batch):
    native = DENSE.encode(random_batch(dtype=torch.float32))
    output = built(convolution(2, "full", 3, 4, 3, bias=False))(native)
    assert masks == []
    DENSE.decode(output)
    DENSE.decode(output)
    assert masks == ["touched"]


def test_max_pooling_computes_no_mask_in_its_forward_pass(masks, random_batch):
    output = built(max_pooling(2, 2, 2))(DENSE.encode(random_batch(dtype=torch.float32)))
    assert masks == []
    DENSE.decode(output)
    assert masks == ["touched"]


@pytest.mark.parametrize("bias", [True, False])
def test_a_submanifold_convolution_needs_no_mask_but_its_inputs(bias, masks, random_batch):
    native = DENSE.encode(random_batch(dtype=torch.float32))
    DENSE.decode(built(convolution(2, "submanifold", 3, 4, 3, bias=bias))(native))
    assert masks == []


@pytest.mark.parametrize(
    ("rule", "first"), [("full", ["touched"]), ("sparsity_invariant", ["count_active", "touched"])]
)
def test_masks_are_cached_until_they_are_dropped(rule, first, masks, random_batch):
    native = DENSE.encode(random_batch(dtype=torch.float32))
    module = built(convolution(2, rule, 3, 4, 3))
    module(native)
    assert masks == first
    module(native)
    assert masks == first
    module(DENSE.without_maps(native))
    assert masks == first * 2
    module(native)
    assert masks == first * 2


def test_building_the_map_leaves_no_mask_to_the_forward_pass(masks, random_batch):
    for rule in ("full", "sparsity_invariant"):
        module = built(convolution(2, rule, 3, 4, 3))
        native = DENSE.encode(random_batch(dtype=torch.float32))
        DENSE.build_map(module.layers["layer"], native)
        before = len(masks)
        assert before
        module(native)
        assert len(masks) == before


def test_where_nothing_is_masked_there_is_no_map_to_time(random_batch):
    native = DENSE.encode(random_batch(dtype=torch.float32))
    for operator in (max_pooling(2, 2, 2), convolution(2, "full", 3, 4, 3, bias=False)):
        with pytest.raises(NotImplementedError, match="no mask to compute"):
            DENSE.build_map(built(operator).layers["layer"], native)


def test_a_forward_pass_leaves_its_input_as_it_was(random_batch):
    batch = random_batch(dtype=torch.float32)
    for rule in ("full", "submanifold", "sparsity_invariant"):
        native = DENSE.encode(batch)
        with torch.no_grad():
            built(convolution(2, rule, 3, 3, 1))(native)
        assert torch.equal(native.values, batch.dense())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_a_sparsity_invariant_convolution_is_zero_where_nothing_is_under_the_kernel(
    dtype, random_batch
):
    batch = random_batch((20, 20), density=0.01, dtype=dtype)
    operator = convolution(2, "sparsity_invariant", 3, 4, 3)
    if why_torch_lacks(operator, dtype, CPU) is not None:
        pytest.skip("torch has no such convolution here")
    module = built(operator, dtype)
    output = module(DENSE.encode(batch))
    empty = ~output.sites.mask.expand_as(output.values)
    assert empty.any()
    assert not output.values[empty].any()
    assert torch.isfinite(output.values).all()


def test_padding_beyond_half_of_the_kernel_marks_the_same_sites_as_counting(random_batch):
    mask = random_batch((6, 7), density=0.1).mask().float()
    for geometry in (window(2, 2, 1, 2), window(2, 3, 2, (2, 1)), window(2, 3, 1, 1)):
        ones = torch.ones((1, 1, *geometry.kernel_size))
        expected = F.conv2d(mask, ones, None, geometry.stride, geometry.padding) > 0
        found = touched(mask, geometry)
        assert found.dtype == mask.dtype
        assert torch.equal(found > 0, expected)
        assert set(found.unique().tolist()) <= {0.0, 1.0}


def test_what_torch_has_no_kernel_for_is_said_in_words():
    four = convolution(4, "full", 1, 1, 3)
    assert "4 spatial axes" in why_torch_lacks(four, torch.float32, CPU)
    lacking = why_torch_lacks(convolution(2, "full", 1, 1, 3), torch.float8_e4m3fn, CPU)
    assert lacking.startswith(f"torch {torch.__version__} on cpu: ")
    assert "\n" not in lacking


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_torch_has_every_operator_in_the_usual_types(dimensions, dtype):
    down = convolution(dimensions, "full", 1, 1, 3)
    for operator in (
        down,
        InverseConvolution(1, 1, down.window),
        max_pooling(dimensions, 2, 2),
    ):
        assert why_torch_lacks(operator, dtype, CPU) is None


def test_the_two_differ_in_their_cold_phases_only():
    from_sparse = DenseFromSparse()
    assert DENSE.starts_dense
    assert not from_sparse.starts_dense
    assert [phase for phase in Phase if from_sparse.unmeasured(phase) is None] == [
        Phase.FORWARD_COLD,
        Phase.TRAIN_STEP,
    ]
    assert all(DENSE.unmeasured(phase) is None for phase in Phase)


def test_an_inverse_convolution_onto_a_grid_that_the_stride_does_not_divide(random_batch):
    batch = random_batch((9, 8))
    down = convolution(2, "full", 3, 4, 3, 2)
    network = Network(
        (Layer("down", down), Layer("up", InverseConvolution(4, 3, down.window), ("down", INPUT)))
    )
    output = built(network, torch.float64)(DENSE.encode(batch))
    assert output.values.shape == (2, 3, 9, 8)
    assert torch.equal(DENSE.decode(output).coordinates, batch.coordinates)


NORM = Network((Layer("conv", convolution(2, "submanifold", 3, 4, 3)), Layer("norm", BatchNorm(4))))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("density", [0.05, 0.12, 0.13, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_norm_on_few_sites_or_many_is_that_of_the_active_rows(
    dtype, density, training, random_batch
):
    batch = random_batch((10, 10), density=density, dtype=dtype)
    network = built(NORM, dtype).train(training)
    values = DENSE.decode(network.layers["conv"](DENSE.encode(batch))).features
    norm = torch.nn.BatchNorm1d(4).to(dtype).train(training)
    norm.load_state_dict(network.layers["norm"].inner.state_dict())
    expected = norm(values)
    answer = network(DENSE.encode(batch))
    torch.testing.assert_close(DENSE.decode(answer).features, expected)
    assert not answer.values.movedim(1, -1)[~batch.mask().squeeze(1)].any()


def test_the_plain_network_of_an_exact_ground_state_computes_no_mask(masks, random_batch):
    valid = Network(
        (
            Layer("conv", convolution(2, "full", 3, 4, 3)),
            Layer("relu", Rectifier()),
            Layer("pool", max_pooling(2, 2, 2)),
            Layer("linear", Linear(4, 2)),
        )
    )
    weights = initial_weights(valid, 0, torch.float32, CPU)
    plain = build(DENSE, valid, weights, torch.float32, CPU, Background.GROUND_STATE)
    batch = random_batch(dtype=torch.float32)
    native = plain(DENSE.encode(batch))
    assert masks == []
    torch.testing.assert_close(native.values, plain_dense(valid, weights, batch.dense()))


def test_on_a_gpu_what_tensor_cores_multiply_has_its_channels_last():
    def is_last(dtype, device="cuda"):
        tensor = SimpleNamespace(dtype=dtype, device=torch.device(device))
        return module_of_dense._is_faster_channels_last(tensor)

    assert is_last(torch.float16)
    assert is_last(torch.bfloat16)
    assert not is_last(torch.float64)
    for name in ("float32", "tf32"):
        with products_in(name):
            assert is_last(torch.float32) is (name == "tf32")
            assert is_last(torch.float32, "cpu")
