"""MinkowskiEngine behind the interface: exact in everything, and no slower than it must be."""

import libraries
import pytest
import torch

from bench.conformance.checks import Result, check, check_batch
from bench.conformance.properties import check_properties
from bench.implementation import why_unsupported
from bench.operators import convolution, max_pooling
from impls.minkowski import LIBRARY, Minkowski

if LIBRARY.why_unusable() is not None:
    pytest.skip(str(LIBRARY.why_unusable()), allow_module_level=True)

CPU = torch.device("cpu")


@pytest.fixture
def subject():
    return Minkowski()


@libraries.cases("float32", "float64")
def test_every_operator_is_right(subject, case):
    outcome = check(subject, case)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_drawn_geometry_and_site_set_is_right(subject, dtype):
    outcome = check_properties(subject, dtype, examples=150)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize(("dimensions", "grid_size"), [(2, (12, 14)), (3, (6, 8, 4))])
@pytest.mark.parametrize("density", [0.1, 0.6, 1.0])
def test_a_network_down_and_up_is_right(subject, random_batch, dimensions, grid_size, density):
    batch = random_batch(grid_size, density=density)
    outcome = check_batch(subject, libraries.u_shaped(dimensions), batch)
    assert outcome.result is Result.PASSED, outcome.reason


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_declared_unsupported(subject, dtype):
    reason = why_unsupported(subject, max_pooling(2, 2, 2), dtype, CPU)
    assert str(dtype) in reason
    outcome = check_properties(subject, str(dtype).removeprefix("torch."), examples=5)
    assert outcome.result is Result.UNSUPPORTED


@pytest.fixture
def run(subject, random_batch):
    """Encode a batch, and run an operator's module on it."""

    def make(operator, **batch):
        native = subject.encode(random_batch(dtype=torch.float32, **batch))
        if hasattr(operator, "weight_shape"):
            module = subject.convolution(operator, torch.randn(operator.weight_shape), None)
        else:
            module = subject.max_pooling(operator)
        return module, native

    return make


@pytest.mark.parametrize(
    "operator",
    [
        convolution(2, "submanifold", 3, 4, 3),
        convolution(2, "full", 3, 4, 2, 2),
        convolution(2, "full", 3, 4, 3, 2, 1),
        max_pooling(2, 2, 2),
        max_pooling(2, 3, 2, 1),
    ],
    ids=str,
)
def test_a_warm_pass_asks_the_manager_for_nothing_new(run, subject, operator):
    module, native = run(operator, grid_size=(8, 8))
    subject.build_map(module, native)
    before = repr(native.sites.manager)
    module(native)
    assert repr(native.sites.manager) == before
    assert module(subject.without_maps(native)).sites.manager is not native.sites.manager


def test_encoding_and_dropping_maps_make_a_new_manager(subject, random_batch):
    batch = random_batch()
    managers = [subject.encode(batch).sites.manager for _ in range(2)]
    native = subject.encode(batch)
    managers += [native.sites.manager, subject.without_maps(native).sites.manager]
    assert len(set(map(id, managers))) == 4


def test_a_submanifold_convolution_computes_no_coordinates(run, monkeypatch):
    monkeypatch.setattr("impls.minkowski_sites.touched_sites", None)
    module, native = run(convolution(2, "submanifold", 3, 4, 3))
    assert len(module(native).features) == len(native.features)


def test_sites_that_only_round_down_are_left_to_the_library(run, subject, monkeypatch):
    monkeypatch.setattr("impls.minkowski_sites.touched_sites", None)
    module, native = run(max_pooling(2, 2, 2), grid_size=(8, 8))
    output = module(native)
    assert not output.sites.canonical
    coordinates = subject.decode(output).coordinates
    assert torch.equal(coordinates, coordinates.unique(dim=0))


def test_two_kinds_of_sites_of_one_step_are_not_confused(subject, random_batch):
    batch = random_batch((8, 8), density=0.1)
    native = subject.encode(batch)
    window = convolution(2, "full", 3, 3, 3, 2, 1).window
    overlapping = native.sites.after(window)
    tiled = native.sites.after(max_pooling(2, 2, 2).window)
    assert overlapping.lattice.step == tiled.lattice.step
    assert overlapping.count > tiled.count


def test_asking_whether_it_can_run_starts_no_thread():
    libraries.check_that_no_thread_is_started("impls.minkowski:Minkowski")


def test_a_manager_leaves_the_number_of_threads_alone(subject, random_batch):
    """With its default the library sets OpenMP's threads, torch's included, to the processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        module = subject.convolution(convolution(2, "full", 3, 3, 3), torch.randn(3, 3, 3, 3), None)
        module(subject.encode(random_batch(dtype=torch.float32)))
        assert openmp_threads() == 3
    finally:
        torch.set_num_threads(before)


def openmp_threads():
    """What OpenMP itself says; torch remembers its own number."""
    line = "omp_get_max_threads() : "
    return int(torch.__config__.parallel_info().split(line)[1].split()[0])
