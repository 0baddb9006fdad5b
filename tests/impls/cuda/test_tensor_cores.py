"""What tensor cores multiply, on the CPU: half types, and float32 where it may be rounded to tf32."""

import math
from functools import partial

import pytest
import torch

from bench.conformance.checks import Result, check_batch
from bench.dtypes import products_in, rounded
from bench.network import single
from bench.operators import convolution
from impls.cuda import launching, structures
from impls.cuda.places import Places, Seen, Tuning
from impls.cuda.products import Product, ProductLaunch
from impls.cuda.shapes import Shape
from impls.cuda.sites import KernelMap
from impls.cuda.tiles import Family, Tile
from tests.cuda_on_host.build import COMPILER
from tests.cuda_on_host.traffic import CountingLauncher
from tests.impls.cuda_cases import check_shifted, half_cases, judged, network_in_tf32

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]


@half_cases
def test_half_types_are_right_on_tensor_cores(request, random_batch, dtype, rule, channels, tuned):
    subject = request.getfixturevalue(tuned)
    operator = convolution(2, rule, *channels, 3, padding=1)
    batch = random_batch((9, 8), density=0.2, channels=channels[0], dtype=dtype)
    subject.host.launched.clear()
    outcome = check_batch(subject, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason
    names = {kernel.name.split("<")[0] for kernel in subject.host.launched}
    assert "convolve_tensor_cores" in names
    # Upstream rows of a sparsity invariant convolution are scaled first.
    assert ("weight_gradient_tensor_cores" in names) is (rule != "sparsity_invariant")


@pytest.mark.parametrize("channels", [(16, 24), (36, 68)])
def test_float32_is_rounded_to_tf32_where_torch_may_round_it_and_exact_from_there_on(
    subject, random_batch, channels
):
    operator = convolution(2, "submanifold", *channels, 3)
    batch = random_batch((16, 12), density=0.3, channels=channels[0], dtype=torch.float32)
    torch.manual_seed(0)
    weight = torch.randn(operator.weight_shape)
    upstream = torch.randn(len(batch.features), channels[1])
    results = []
    for switch, prepare in (("tf32", torch.clone), ("float32", partial(rounded, name="tf32"))):
        module = subject.convolution(operator, prepare(weight), None)
        features = prepare(batch.features).requires_grad_()
        subject.host.launched.clear()
        with products_in(switch):
            output = module(subject.encode(batch.with_features(features))).features
        output.backward(prepare(upstream))  # as the pass was, whatever the switch is now
        names = {kernel.name.split("<")[0] for kernel in subject.host.launched}
        both = {"convolve_tensor_cores", "weight_gradient_tensor_cores"} <= names
        assert both is (switch == "tf32")
        results.append((output, features.grad, module.weight.grad))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sides", [(16, 24), (36, 68)])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_weight_in_tf32_is_rounded_to_nearest_and_transposed_for_the_pass_forwards(
    subject, sides, transposed
):
    weight = torch.randn(5, *sides)
    weight[0, 0, :4] = torch.tensor([1 + 2**-11, 1 - 2**-12, torch.inf, 0.0])  # ties go outwards
    found = torch.empty((5, *reversed(sides)) if transposed else weight.shape)
    given = structures.WeightRounding(weight.data_ptr(), found.data_ptr(), *sides)
    kernel = launching.round_weight(transposed=transposed)
    tiles = [math.ceil(side / launching.ROUNDED_SIDE) for side in reversed(sides)]
    subject.host.launch(kernel, (*tiles, 5), given, weight.device)
    wanted = rounded(weight, "tf32")
    assert torch.equal(found, wanted.mT if transposed else wanted)


@pytest.mark.parametrize("rule", ["submanifold", "full"])
def test_a_convolution_in_tf32_is_right_as_tf32_and_wrong_as_float32(subject, random_batch, rule):
    network = single(convolution(2, rule, 16, 24, 3, padding=1))
    batch = random_batch((16, 12), channels=16, dtype=torch.float32)
    assert judged(subject, network, batch, tf32=True) is None
    assert "is wrong in" in judged(subject, network, batch, tf32=False)


def test_a_network_in_tf32_is_right_as_tf32_and_wrong_as_float32(subject, random_batch):
    batch = random_batch((16, 12), channels=16, dtype=torch.float32)
    assert judged(subject, network_in_tf32(), batch, tf32=True) is None
    assert "is wrong in" in judged(subject, network_in_tf32(), batch, tf32=False)


def test_float32_stays_exact_unless_torch_is_told_otherwise(subject, random_batch):
    operator = convolution(2, "submanifold", 16, 24, 3)
    batch = random_batch((16, 12), channels=16, dtype=torch.float32)
    subject.host.launched.clear()
    outcome = check_batch(subject, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason
    assert not any("tensor_cores" in kernel.name for kernel in subject.host.launched)


def test_pairs_that_fill_more_than_one_round_of_looking_are_all_multiplied(subject, random_batch):
    operator = convolution(2, "submanifold", 16, 16, 3)
    batch = random_batch((20, 20), density=0.8, channels=16, dtype=torch.float16)
    assert len(batch.features) > 512  # a block's rows at a time
    outcome = check_batch(subject, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_kernel_of_more_offsets_than_a_word_has_bits_is_right(whole, random_batch, dtype):
    operator = convolution(2, "submanifold", 16, 16, 7)
    batch = random_batch(density=0.3, channels=16, dtype=dtype)
    outcome = check_batch(whole, single(operator), batch)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_rows_that_no_asynchronous_copy_can_begin_at_are_multiplied_otherwise(
    subject, random_batch, dtype
):
    subject.host.launched.clear()
    check_shifted(subject, random_batch, dtype)  # such a copy of them would end the process here
    names = {kernel.name.split("<")[0] for kernel in subject.host.launched}
    half = {"convolve_tensor_cores", "weight_gradient_tensor_cores"}
    assert names >= {"convolve_few", "weight_gradient", *(half if dtype is torch.float16 else ())}


@pytest.mark.parametrize("tile", [Tile(256, 64, 4, 16, 3), Tile(128, 128, 8, 16, 3)], ids=str)
def test_a_warp_leaves_out_an_offset_only_where_none_of_its_own_rows_sees_something(
    kernels_folder, tile
):
    offsets, rows, ins, outs = 35, 300, 32, 64
    part_rows = 32
    is_seen = torch.rand(offsets, math.ceil(rows / part_rows)) < 0.2
    table = torch.full((offsets, rows), -1, dtype=torch.int32)
    for offset, part in is_seen.nonzero().tolist():  # by one row of the part, wherever it lies
        place = part * part_rows + int(torch.randint(min(part_rows, rows - part * part_rows), ()))
        table[offset, place] = int(torch.randint(rows, ()))
    features = torch.randn(rows, ins).half()
    weight = torch.randn(offsets, ins, outs).half()
    launcher = CountingLauncher(kernels_folder)
    kernel_map = KernelMap(Seen(table), rows, lambda seen: None, lambda table: None)
    places = Places(torch.empty((0, 3), dtype=torch.int32), 1, (1, 1), launcher, Tuning())
    product = Product(features, weight, kernel_map, tensor_cores=True)
    output = ProductLaunch(product, places).run(Shape(Family.TENSOR_CORES, tile, 1))

    padded = torch.cat([features, torch.zeros(1, ins).half()]).float()
    wanted = sum(padded[row] @ each for row, each in zip(table, weight.float(), strict=True))
    torch.testing.assert_close(output.float(), wanted, rtol=2e-3, atol=2e-3)

    warp_rows, warp_columns = 8 * tile.rows_each, 4 * tile.columns_each
    by_warp = is_seen.split(warp_rows // part_rows, dim=1)
    multiplied = sum(int(parts.any(1).sum()) for parts in by_warp)
    abreast = tile.columns // warp_columns * math.ceil(outs / tile.columns)
    loads = 2 * (warp_rows + warp_columns) // 16  # of a step's 32 channels
    counted = {(kind, size): each.requests for (_, kind, size, _), each in launcher.counted.items()}
    assert counted["shared, read", 16] == multiplied * abreast * loads
