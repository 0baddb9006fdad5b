"""The CUDA implementation with its own kernels, built by the host's compiler and run on the CPU."""

import ctypes

import pytest
import torch

from bench.conformance.checks import Result, check, check_batch
from bench.conformance.properties import check_properties
from bench.network import single
from bench.operators import convolution
from impls.cuda import outputs, structures
from impls.cuda.launching import all_kernels
from tests.cuda_on_host.build import COMPILER
from tests.impls import libraries
from tests.impls.cuda_cases import TILES_AND_HASHES, cases
from tests.impls.nan_pooling import check_that_a_nan_is_pooled_as_torch_pools_it

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]


@cases(7)
def test_every_operator_is_right(subject, case):
    outcome = check(subject, case)
    assert outcome.result is Result.PASSED, outcome.reason


@cases(13)
def test_every_operator_is_right_by_tiles_and_hash_tables(other_way, case):
    outcome = check(other_way, case)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_drawn_geometry_and_site_set_is_right(subject, other_way, dtype):
    for implementation in (subject, other_way):
        outcome = check_properties(implementation, dtype, examples=25)
        assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_nan_is_pooled_as_torch_pools_it(subject, random_batch, dtype):
    batch = random_batch((6, 8), density=0.6, channels=3, dtype=dtype)
    check_that_a_nan_is_pooled_as_torch_pools_it(subject, batch)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_network_down_and_up_is_right(subject, other_way, whole, random_batch, dimensions):
    batch = random_batch((12, 14) if dimensions == 2 else (6, 8, 4), density=0.2)
    for implementation in (subject, other_way, whole):
        outcome = check_batch(implementation, libraries.u_shaped(dimensions), batch)
        assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("rule", ["submanifold", "full", "sparsity_invariant"])
@pytest.mark.parametrize("channels", [(1, 40), (33, 28), (70, 66)])
def test_channels_that_fill_no_tile_are_right(subject, random_batch, rule, channels):
    operator = convolution(2, rule, *channels, 3, padding=1)
    batch = random_batch((16, 12), density=0.2, channels=channels[0], dtype=torch.float32)
    outcome = check_batch(subject, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_rows_with_the_same_neighbours_are_grouped_once_and_before_they_are_multiplied(
    other_way, random_batch, kernel_size
):
    operator = convolution(2, "submanifold", 3, 5, kernel_size)
    batch = random_batch((40, 40), density=0.05, dtype=torch.float32)
    native = other_way.encode(batch)
    module = other_way.convolution(operator, torch.ones(operator.weight_shape), None)
    other_way.host.launched.clear()
    other_way.build_map(module, native)
    # Up to 31 offsets, keys come with the table.
    last = "look_up_all_inputs<long long>" if kernel_size == 3 else "neighbour_keys"
    assert other_way.host.launched[-1].name == last
    view = module.kernel_map(native.sites)[0].grouped(backwards=False)
    has_neighbour = view.table >= 0
    changes = (has_neighbour[:, 1:] != has_neighbour[:, :-1]).any(0)
    if kernel_size == 3:  # every offset has a bit of its own
        assert int(changes.sum()) + 1 == has_neighbour.unique(dim=1).shape[1]
    assert torch.equal(view.order.sort().values, torch.arange(len(batch.coordinates)).int())
    other_way.host.launched.clear()
    module(native).features.sum().backward()
    names = {kernel.name for kernel in other_way.host.launched}
    assert names.isdisjoint({last, "neighbour_keys"})


def test_grouped_rows_leave_tiles_less_than_half_of_their_offsets(other_way, random_batch):
    batch = random_batch((32, 32, 32), density=0.05, channels=1, batch_size=1)
    window = convolution(3, "submanifold", 1, 1, 3).window
    kernel_map, _ = other_way.encode(batch).sites.kernel_map(window, submanifold=True)

    def multiplied(table):
        tiles = (table >= 0).split(64, dim=1)
        return sum(int(tile.any(1).sum()) for tile in tiles)

    grouped = kernel_map.grouped(backwards=False).table
    assert multiplied(grouped) < 0.5 * multiplied(kernel_map.table)


def test_few_rows_are_not_sorted(subject, random_batch):
    operator = convolution(2, "submanifold", 1, 33, 3)
    native = subject.encode(random_batch(channels=1, dtype=torch.float32))
    module = subject.convolution(operator, torch.ones(operator.weight_shape), None)
    subject.build_map(module, native)
    assert module.kernel_map(native.sites)[0].grouped(backwards=False).order is None


@pytest.mark.parametrize(("side", "is_split"), [(8, True), (96, False)])
def test_the_offsets_are_split_where_rows_are_too_few_for_the_device(
    subject, random_batch, side, is_split
):
    operator = convolution(2, "submanifold", 1, 33, 3)
    batch = random_batch((side, side), channels=1, dtype=torch.float32)
    subject.host.launched.clear()
    outcome = check_batch(subject, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason
    names = [kernel.name for kernel in subject.host.launched]
    assert ("finish_shares<float>" in names) is is_split


def test_a_new_map_waits_for_the_device_once_and_a_submanifold_one_never(
    subject, random_batch, monkeypatch
):
    reads = []
    read_back = outputs.read_back

    def counted(number):
        reads.append(number)
        return read_back(number)

    monkeypatch.setattr(outputs, "read_back", counted)
    batch = random_batch()
    for rule, waits in (("submanifold", 0), ("full", 1), ("sparsity_invariant", 1)):
        operator = convolution(2, rule, 3, 5, 3, padding=1)
        module = subject.convolution(operator, torch.ones(operator.weight_shape).double(), None)
        native = subject.encode(batch.with_features(batch.features.clone().requires_grad_()))
        reads.clear()
        module(native).features.sum().backward()
        module(native)
        assert len(reads) == waits


def test_the_order_in_which_threads_run_changes_no_bit(on_host, random_batch):
    operator = convolution(2, "full", 5, 40, 3, 2, 1)
    batch = random_batch((40, 30), density=0.2, channels=5, dtype=torch.float32)
    results = []
    for seed in (0, 1, 2):
        subject = on_host(TILES_AND_HASHES, seed)
        torch.manual_seed(0)
        module = subject.convolution(operator, torch.randn(operator.weight_shape), torch.ones(40))
        features = batch.features.clone().requires_grad_()
        output = subject.decode(module(subject.encode(batch.with_features(features))))
        output.features.square().sum().backward()
        results.append((output.coordinates, output.features, features.grad, module.weight.grad))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def layer_of(subject, batch):
    """A convolution with a bias, its output and gradients, as a function of types."""
    operator = convolution(2, "submanifold", 3, 5, 3)

    def compute(dtype, features_dtype=None, *, autocast=False):
        torch.manual_seed(0)
        weight, bias = torch.randn(operator.weight_shape), torch.randn(5)
        module = subject.convolution(operator, weight.to(dtype), bias.to(dtype))
        features = batch.features.to(features_dtype or dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = subject.decode(module(subject.encode(batch.with_features(features)))).features
            output.sum().backward()  # within autocast, which reaches no gradient
        return output, features.grad, module.weight.grad, module.bias.grad

    return compute


def test_features_of_another_type_than_the_weight_are_refused_in_words(subject, random_batch):
    compute = layer_of(subject, random_batch())
    words = "must be of one type, not torch.float16, torch.float32, torch.float32"
    with pytest.raises(TypeError, match=words):
        compute(torch.float32, torch.float16)


def test_a_weight_elsewhere_than_the_features_is_refused_in_words(subject, random_batch):
    operator = convolution(2, "submanifold", 3, 5, 3)
    module = subject.convolution(operator, torch.ones(operator.weight_shape), None).to("meta")
    native = subject.encode(random_batch(dtype=torch.float32))
    with pytest.raises(ValueError, match="must be on one device, not cpu, cpu, meta"):
        module(native)


def test_a_bias_whose_values_lie_apart_is_added(subject, random_batch):
    operator = convolution(2, "submanifold", 3, 5, 3)
    native = subject.encode(random_batch(dtype=torch.float32))
    weight, bias = torch.randn(operator.weight_shape), torch.randn(10)[::2]
    found, wanted = (
        subject.convolution(operator, weight, each)(native).features
        for each in (bias, bias.contiguous())
    )
    assert torch.equal(found, wanted)


def test_under_autocast_a_layer_computes_in_its_type(subject, random_batch):
    compute = layer_of(subject, random_batch())
    mixed, half = compute(torch.float32, autocast=True), compute(torch.bfloat16)
    assert mixed[0].dtype is torch.bfloat16
    assert {gradient.dtype for gradient in mixed[1:]} == {torch.float32}
    for of_mixed, of_half in zip(mixed, half, strict=True):
        assert torch.equal(of_mixed, of_half.to(of_mixed.dtype))


def test_autocast_leaves_float64_alone(subject, random_batch):
    compute = layer_of(subject, random_batch())
    plain, mixed = compute(torch.float64), compute(torch.float64, autocast=True)
    assert all(map(torch.equal, plain, mixed))


@pytest.mark.parametrize(
    ("structure", "names"),
    [
        (structures.IndexSites, {"mark_sites", "insert_sites"}),
        (structures.Touch, {"touch_outputs"}),
        (structures.FirstOfRuns, {"mark_first_of_runs"}),
        (structures.Ranking, {"count_tiles", "add_up_tiles", "emit_sites"}),
        (structures.FewOutputs, {"find_few_outputs"}),
        (structures.Neighbours, {"neighbour_keys"}),
        (structures.Table, {"look_up_inputs", "look_up_all_inputs", "look_up_outputs"}),
        (
            structures.Convolution,
            {
                "convolve_tiles",
                "convolve_copied",
                "convolve_few",
                "convolve_tensor_cores",
                "finish_shares",
            },
        ),
        (
            structures.WeightGradient,
            {
                "weight_gradient",
                "weight_gradient_copied",
                "weight_gradient_tensor_cores",
                "add_shares",
            },
        ),
        (structures.WeightRounding, {"round_weight"}),
        (structures.PairCounts, {"count_pairs"}),
        (structures.Pooling, {"pool"}),
        (structures.PoolingGradient, {"pool_gradient"}),
    ],
)
def test_what_a_kernel_is_given_has_the_size_that_it_reads(subject, structure, names):
    kernels = [kernel for kernel in all_kernels() if kernel.name.split("<")[0] in names]
    assert {kernel.name.split("<")[0] for kernel in kernels} == names
    for kernel in kernels:
        assert subject.host.parameter_bytes(kernel) == ctypes.sizeof(structure)
