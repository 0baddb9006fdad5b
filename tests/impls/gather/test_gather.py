import gc
import weakref
from functools import cached_property

import pytest
import torch

import impls.gather.sites
from bench.build import BuiltNetwork, initial_weights
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    InverseConvolution,
    Linear,
    Rectifier,
    Rule,
    convolution,
    max_pooling,
)
from bench.window import window
from impls.gather import Gather, compiled, multiply
from impls.gather.pairs import Pairs
from impls.gather.sites import Sites
from tests.impls.nan_pooling import check_that_a_nan_is_pooled_as_torch_pools_it

CPU = torch.device("cpu")
GATHER = Gather()


def sites_of(batch):
    return Sites(batch.coordinates, batch.batch_size, batch.grid_size)


def built(network, dtype=torch.float64, seed=0):
    weights = initial_weights(network, seed, dtype, CPU)
    return BuiltNetwork(GATHER, network, weights, dtype, CPU)


@pytest.fixture(autouse=True, params=["compiled", "through torch"])
def way(request, monkeypatch):
    """Everything twice: as on a CPU with numba, and as on a GPU or without numba."""
    if request.param == "through torch":
        monkeypatch.setattr(compiled, "NUMBA", False)
    return request.param


def counted(monkeypatch):
    """Count how many kernel maps are built."""
    built_maps = []
    for name in ("_full_pairs", "_submanifold_pairs"):
        inner = getattr(impls.gather.sites, name)

        def build(sites, geometry, inner=inner):
            built_maps.append(geometry)
            return inner(sites, geometry)

        monkeypatch.setattr(impls.gather.sites, name, build)
    return built_maps


def test_two_layers_of_one_geometry_on_the_same_sites_share_one_map(monkeypatch, random_batch):
    built_maps = counted(monkeypatch)
    native = GATHER.encode(random_batch())
    layers = [
        convolution(2, "submanifold", 3, 3, 3),
        convolution(2, "submanifold", 3, 3, 3, bias=False),
    ]
    network = Network(
        (Layer("one", layers[0]), Layer("active", Rectifier()), Layer("two", layers[1]))
    )
    output = built(network)(native)
    assert len(built_maps) == 1
    assert output.sites is native.sites
    first = native.sites.kernel_map(layers[0].window, submanifold=True)[0]
    assert native.sites.kernel_map(layers[1].window, submanifold=True)[0] is first


def test_a_convolution_of_one_site_keeps_the_sites_and_their_maps(monkeypatch, random_batch):
    native = GATHER.encode(random_batch())
    output = built(single(convolution(2, "full", 3, 4, 1)))(native)
    assert output.sites is native.sites
    moved = built(single(convolution(2, "full", 3, 4, 1, padding=1)))(native)
    assert moved.sites is not native.sites


def test_another_geometry_or_rule_gets_a_map_of_its_own(monkeypatch, random_batch):
    built_maps = counted(monkeypatch)
    native = GATHER.encode(random_batch())
    for operator in (
        convolution(2, "submanifold", 3, 3, 3),
        convolution(2, "submanifold", 3, 3, 3, dilation=2),
        convolution(2, "full", 3, 3, 3, 1, 1),
        convolution(2, "full", 3, 3, 3, 2, 1),
    ):
        built(single(operator))(native)
    assert len(built_maps) == 4


def test_pooling_an_inverse_and_the_convolution_before_share_one_map(monkeypatch, random_batch):
    built_maps = counted(monkeypatch)
    down = convolution(2, "full", 3, 3, 2, 2)
    network = Network(
        (
            Layer("down", down),
            Layer("up", InverseConvolution(3, 3, down.window), ("down", INPUT)),
            Layer("pool", max_pooling(2, 2, 2)),
        )
    )
    built(network)(GATHER.encode(random_batch()))
    assert len(built_maps) == 1


def test_a_warm_call_builds_nothing_and_a_call_without_maps_everything_again(
    monkeypatch, random_batch
):
    built_maps = counted(monkeypatch)
    down = convolution(2, "full", 3, 3, 2, 2)
    network = Network((Layer("one", convolution(2, "submanifold", 3, 3, 3)), Layer("down", down)))
    modules = built(network)
    native = GATHER.encode(random_batch())
    warm = modules(native)
    assert len(built_maps) == 2
    modules(native)
    assert len(built_maps) == 2
    dropped = GATHER.without_maps(native)
    cold = modules(dropped)
    assert len(built_maps) == 4
    assert torch.equal(cold.features, warm.features)
    modules(native)
    assert len(built_maps) == 4


def test_without_maps_nothing_derived_from_the_coordinates_is_left(random_batch):
    batch = random_batch()
    native = GATHER.encode(batch)
    built(single(convolution(2, "submanifold", 3, 3, 3)))(native)
    built(single(max_pooling(2, 2, 2)))(native)
    dropped = GATHER.without_maps(native).sites
    assert vars(dropped) == vars(sites_of(batch))
    assert vars(native.sites) != vars(sites_of(batch))


def test_building_the_map_leaves_nothing_of_it_to_the_forward_pass(monkeypatch, random_batch):
    built_maps = counted(monkeypatch)
    counts = []
    active = Pairs.__dict__["active"].func
    counting = cached_property(lambda pairs: counts.append(pairs) or active(pairs))
    counting.__set_name__(Pairs, "active")
    monkeypatch.setattr(Pairs, "active", counting)
    invariant = convolution(2, "sparsity_invariant", 3, 3, 2)
    for operator in (convolution(2, "full", 3, 3, 2), max_pooling(2, 2, 2), invariant):
        modules = built(single(operator))
        native = GATHER.encode(random_batch())
        GATHER.build_map(modules.layers["layer"], native)
        before = len(built_maps), len(counts)
        assert before[0]
        modules(native)
        assert (len(built_maps), len(counts)) == before
    assert len(counts) == 1


@pytest.mark.parametrize("rule", ["full", "submanifold", "sparsity_invariant"])
def test_ablations_multiply_as_many_pairs_of_neighbouring_rows(rule, random_batch, way):
    module = built(single(convolution(2, rule, 3, 4, 3))).layers["layer"]
    native = GATHER.encode(random_batch())
    if way == "through torch":
        assert GATHER.ablations(module, native) == {}
        return
    pairs, _ = module.kernel_map(native.sites)
    for part, side in (("gather", "inputs"), ("scatter", "outputs")):
        assert GATHER.ablations(module, native)[part]().shape == module(native).features.shape
        others = pairs.with_rows_in_order(side)
        assert others.places[2].tolist() == pairs.places[2].tolist()
        for (_, *rows), (_, *before) in zip(others.by_offset(), pairs.by_offset(), strict=True):
            ordered, kept = rows if side == "inputs" else rows[::-1]
            if ordered is not None:
                assert ordered.tolist() == list(range(len(ordered)))
                assert torch.equal(kept, before[1 if side == "inputs" else 0])


def test_pooling_has_no_parts_to_leave_out(random_batch):
    native = GATHER.encode(random_batch())
    assert GATHER.ablations(built(single(max_pooling(2, 2, 2))).layers["layer"], native) == {}


GEOMETRIES = [
    (2, (3, 2), (2, 1), (1, 0), (1, 2)),
    (3, (2, 3, 1), (1, 2, 1), (0, 1, 0), (1, 1, 1)),
]


def convolutions():
    for geometry in GEOMETRIES:
        for rule in (Rule.FULL, Rule.SPARSITY_INVARIANT):
            yield convolution(geometry[0], rule, 2, 3, *geometry[1:])
    yield convolution(2, "submanifold", 2, 3, (3, 5), dilation=(2, 1))
    yield convolution(3, "submanifold", 2, 3, (1, 3, 3))


GRIDS = {2: (5, 6), 3: (3, 4, 3)}


@pytest.mark.parametrize(
    "operator", list(convolutions()), ids=lambda o: f"{o.rule}-{o.window.dimensions}d"
)
def test_gradients_of_convolutions_are_numerically_right(operator, random_batch):
    batch = random_batch(GRIDS[operator.window.dimensions], channels=2)
    module = built(single(operator)).layers["layer"]
    sites = GATHER.encode(batch).sites

    def forward(features, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        native = GATHER.encode(batch.with_features(features))._replace(sites=sites)
        return torch.func.functional_call(module, parameters, (native,)).features

    leaves = (batch.features, module.weight, module.bias)
    assert torch.autograd.gradcheck(forward, [leaf.detach().requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=["2d", "3d"])
def test_gradients_of_inverse_convolutions_are_numerically_right(geometry, random_batch):
    batch = random_batch(GRIDS[geometry[0]], channels=2)
    down = convolution(geometry[0], "full", 2, 3, *geometry[1:])
    up = InverseConvolution(3, 2, down.window)
    target = GATHER.encode(batch)
    source = built(single(down))(target)
    module = built(single_inverse(up)).layers["up"]

    def forward(features, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        natives = (GATHER.with_features(source, features), target)
        return torch.func.functional_call(module, parameters, natives).features

    leaves = (source.features, module.weight, module.bias)
    assert torch.autograd.gradcheck(forward, [leaf.detach().requires_grad_() for leaf in leaves])


def single_inverse(up):
    return Network((Layer("coarse", Rectifier()), Layer("up", up, ("coarse", INPUT))))


@pytest.mark.parametrize(
    "operator",
    [max_pooling(2, 2, 2), max_pooling(2, 3, 1, 1), max_pooling(3, (2, 3, 1), 1, (0, 1, 0))],
    ids=str,
)
def test_gradients_of_pooling_are_numerically_right(operator, random_batch):
    dimensions = operator.window.dimensions
    batch = random_batch(GRIDS[dimensions], density=0.6, channels=2)
    # Far enough apart that no numerical step changes which site is the largest.
    order = torch.randperm(batch.features.numel(), generator=torch.Generator().manual_seed(0))
    features = (order.double() - order.numel() / 2 + 0.3).view_as(batch.features)
    module = GATHER.max_pooling(operator)

    def forward(values):
        return module(GATHER.encode(batch.with_features(values))).features

    assert torch.autograd.gradcheck(forward, [features.requires_grad_()])


def test_only_the_gradients_that_are_needed_are_computed(random_batch):
    module = built(single(convolution(2, "full", 3, 4, 3))).layers["layer"]
    native = GATHER.encode(random_batch())
    total = module(native).features.sum()
    (at_weight,) = torch.autograd.grad(total, [module.weight])
    assert at_weight.abs().sum() > 0
    module.requires_grad_(requires_grad=False)
    features = native.features.requires_grad_()
    (at_features,) = torch.autograd.grad(module(native).features.sum(), [features])
    assert at_features.abs().sum() > 0


@pytest.mark.parametrize(
    "operator",
    [
        convolution(2, "full", 3, 5, (2, 3)),
        convolution(3, "full", 3, 5, (2, 3, 4)),
        InverseConvolution(3, 5, window(2, (2, 3))),
        InverseConvolution(3, 5, window(3, (2, 3, 4))),
    ],
    ids=lambda o: f"{type(o).__name__}-{o.window.dimensions}d",
)
def test_a_weight_brought_back_into_torchs_layout_is_the_weight_that_was_given(operator):
    weight = torch.randn(operator.weight_shape)
    make = (
        GATHER.inverse_convolution
        if isinstance(operator, InverseConvolution)
        else GATHER.convolution
    )
    module = make(operator, weight, None)
    assert module.weight.shape != weight.shape
    assert torch.equal(GATHER.torch_layout(operator, module.weight), weight)


def test_a_linear_weight_is_in_torchs_layout_already():
    weight = torch.randn(5, 3)
    assert GATHER.torch_layout(Linear(3, 5), weight) is weight


@pytest.fixture
def no_collector():
    """Only reference counts free memory, as while measuring."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_no_reference_cycle_keeps_sites_alive(no_collector, random_batch):
    down = convolution(2, "full", 3, 3, 2, 2)
    network = Network(
        (
            Layer("one", convolution(2, "submanifold", 3, 3, 3)),
            Layer("invariant", convolution(2, "sparsity_invariant", 3, 3, 3, padding=1)),
            Layer("down", down),
            Layer("up", InverseConvolution(3, 3, down.window), ("down", "invariant")),
            Layer("pool", max_pooling(2, 2, 2)),
        )
    )
    modules = built(network)
    native = GATHER.encode(random_batch())
    output = modules(native)
    torch.autograd.grad(output.features.sum(), list(modules.parameters()), allow_unused=True)
    watched = [weakref.ref(native.sites), weakref.ref(output.sites)]
    watched += [weakref.ref(pairs) for pairs, _ in native.sites._full.values()]
    watched += [weakref.ref(pairs) for pairs in native.sites._submanifold.values()]
    assert len(watched) > 2
    del native, output
    assert [reference() for reference in watched] == [None] * len(watched)


def test_sums_of_half_types_are_taken_in_float32(random_batch):
    # 1 + 2 ** -9 is no bfloat16: summed tap by tap it would stay 1 for ever.
    operator = convolution(2, "full", 1, 1, (1, 17), bias=False)
    batch = random_batch((1, 17), density=1, channels=1, batch_size=1)
    features = torch.full((17, 1), 2.0**-9, dtype=torch.bfloat16)
    features[0] = 1
    module = GATHER.convolution(operator, torch.ones((1, 1, 1, 17), dtype=torch.bfloat16), None)
    output = module(GATHER.encode(batch.with_features(features)))
    assert output.features.dtype == torch.bfloat16
    assert output.features.item() == 1 + 2**-5


@pytest.mark.parametrize("channels", [128, 256])
def test_bfloat16_goes_through_torch_where_the_processor_multiplies_it(
    channels, monkeypatch, random_batch
):
    monkeypatch.setattr(multiply, "_has_half_products", lambda: True)
    types = []

    def note(features, weight, pairs):
        types.append(weight.dtype)
        return apply(features, weight, pairs)

    apply = multiply._Torch.apply
    monkeypatch.setattr(multiply._Torch, "apply", note)
    network = single(convolution(2, Rule.SUBMANIFOLD, channels, channels, 3))
    batch = random_batch(channels=channels).to(dtype=torch.bfloat16)
    native = GATHER.encode(batch)
    got = GATHER.features(built(network, torch.bfloat16)(native))
    wide = GATHER.encode(batch.to(dtype=torch.float32))
    expected = GATHER.features(built(network, torch.float32)(wide))
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.05)
    if compiled.NUMBA:
        assert types == ([torch.bfloat16] if channels == 256 else [])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_nan_is_pooled_as_torch_pools_it(random_batch, dtype):
    batch = random_batch((6, 8), density=0.6, channels=3, dtype=dtype)
    check_that_a_nan_is_pooled_as_torch_pools_it(GATHER, batch)
