import itertools
import math

import pytest
import torch

from bench.batch import sparse_batch
from bench.cost import network_cost, phase_bytes, phase_multiply_adds
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    Add,
    Concatenate,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)
from bench.phases import Phase

GEOMETRIES = [
    (2, 2, 1, 0, 1),
    (2, 3, 1, 1, 1),
    (2, 3, 2, 1, 1),
    (2, (3, 2), (1, 2), (1, 0), (2, 1)),
    (3, 2, 2, 0, 1),
    (3, 3, 1, 1, 1),
]
GRIDS = {2: (7, 6), 3: (4, 5, 3)}


def counted_by_hand(window, batch):
    """Count pairs and output sites by visiting every output site, tap and input site."""
    active = {tuple(site) for site in batch.coordinates.tolist()}
    pairs, outputs = 0, set()
    output_grid = window.output_grid(batch.grid_size)
    for sample in range(batch.batch_size):
        for output in itertools.product(*map(range, output_grid)):
            for tap in itertools.product(*map(range, window.kernel_size)):
                site = tuple(
                    o * s - p + t * d
                    for o, t, s, p, d in zip(
                        output, tap, window.stride, window.padding, window.dilation, strict=True
                    )
                )
                if (sample, *site) in active:
                    pairs += 1
                    outputs.add((sample, *output))
    return pairs, outputs


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("rule", ["full", "sparsity_invariant"])
def test_a_convolutions_work_is_that_of_its_active_pairs(rule, geometry, random_batch):
    batch = random_batch(GRIDS[geometry[0]], channels=3)
    operator = convolution(geometry[0], rule, 3, 5, *geometry[1:])
    cost = network_cost(single(operator), batch)
    pairs, outputs = counted_by_hand(operator.window, batch)
    assert 0 < pairs < math.prod(GRIDS[geometry[0]]) * 2 * operator.window.volume
    assert cost.active_pairs == pairs
    assert cost.kernel_outputs == cost.output_sites == len(outputs)
    assert cost.multiply_adds == pairs * 3 * 5
    grid = operator.window.output_grid(batch.grid_size)
    assert cost.dense_multiply_adds == 2 * math.prod(grid) * operator.window.volume * 3 * 5
    weights = 5 * 3 * operator.window.volume
    assert cost.elements == batch.sites * 3 + weights + len(outputs) * 5


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_submanifold_convolution_counts_pairs_at_its_input_sites_only(dimensions, random_batch):
    batch = random_batch(GRIDS[dimensions], channels=3)
    active = {tuple(site) for site in batch.coordinates.tolist()}
    steps = list(itertools.product((-1, 0, 1), repeat=dimensions))
    pairs = sum(
        (sample, *(place + step for place, step in zip(site, shift, strict=True))) in active
        for sample, *site in active
        for shift in steps
    )
    cost = network_cost(single(convolution(dimensions, "submanifold", 3, 4, 3)), batch)
    assert cost.active_pairs == pairs
    assert cost.output_sites == batch.sites
    assert cost.multiply_adds == pairs * 12
    assert cost.dense_multiply_adds == batch.all_sites * 3**dimensions * 12


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_an_inverse_convolution_has_the_pairs_of_the_convolution_it_undoes(geometry, random_batch):
    batch = random_batch(GRIDS[geometry[0]], channels=3)
    down = convolution(geometry[0], "full", 3, 5, *geometry[1:])
    up = InverseConvolution(5, 2, down.window)
    network = Network((Layer("down", down), Layer("up", up, ("down", INPUT))))
    pairs, coarse = counted_by_hand(down.window, batch)
    cost = network_cost(network, batch)
    assert cost.active_pairs == 2 * pairs
    assert cost.multiply_adds == pairs * 3 * 5 + pairs * 5 * 2
    assert cost.kernel_outputs == len(coarse) + batch.sites
    assert (cost.output_sites, cost.output_channels) == (batch.sites, 2)
    taps = 2 * math.prod(down.window.output_grid(batch.grid_size)) * down.window.volume
    assert cost.dense_multiply_adds == taps * 15 + taps * 10
    weights = down.window.volume * (15 + 10)
    assert cost.elements == batch.sites * 3 + len(coarse) * 5 + batch.sites * 2 + weights


def test_an_inverse_convolution_counts_only_pairs_that_arrive_at_the_target():
    down = convolution(2, "full", 1, 1, 2, 2)
    network = Network(
        (
            Layer("down", down),
            Layer("spread", convolution(2, "full", 1, 1, 3, 1, 1)),
            Layer("up", InverseConvolution(1, 1, down.window), ("spread", INPUT)),
        )
    )
    sites = torch.tensor([(0, 0, 0), (0, 0, 1), (0, 3, 3)], dtype=torch.int32)
    cost = network_cost(network, sparse_batch(sites, torch.ones(3, 1), 1, (4, 4)))
    # Two of the four coarse sites are active, then all four; of their 16 taps 3 end at the target.
    assert cost.active_pairs == 3 + 2 * 4 + 3
    assert cost.kernel_outputs == 2 + 4 + 3
    assert cost.output_sites == 3
    assert cost.dense_multiply_adds == 4 * 4 + 4 * 9 + 4 * 4


def test_max_pooling_has_pairs_but_multiplies_nothing(random_batch):
    batch = random_batch((7, 6))
    operator = max_pooling(2, 3, 2, 1)
    pairs, outputs = counted_by_hand(operator.window, batch)
    cost = network_cost(single(operator), batch)
    assert (cost.active_pairs, cost.output_sites) == (pairs, len(outputs))
    assert (cost.multiply_adds, cost.dense_multiply_adds) == (0, 0)
    assert cost.elements == 3 * (batch.sites + len(outputs))


def test_a_linear_layer_multiplies_once_a_site(random_batch):
    batch = random_batch((7, 6), channels=3)
    cost = network_cost(single(Linear(3, 5)), batch)
    assert (cost.active_pairs, cost.kernel_outputs) == (0, 0)
    assert cost.multiply_adds == batch.sites * 15
    assert cost.dense_multiply_adds == batch.all_sites * 15


def test_joining_and_rectifying_move_elements_but_multiply_nothing(random_batch):
    batch = random_batch((7, 6), channels=3)
    network = Network(
        (
            Layer("active", Rectifier()),
            Layer("sum", Add(), ("active", INPUT)),
            Layer("both", Concatenate(), ("sum", "active")),
        )
    )
    cost = network_cost(network, batch)
    assert (cost.active_pairs, cost.multiply_adds, cost.dense_multiply_adds) == (0, 0, 0)
    assert cost.elements == batch.sites * (3 + 3 + 3 + 6)


def test_rows_out_of_order_cost_the_same(random_batch):
    batch = random_batch((7, 6))
    order = torch.randperm(batch.sites)
    shuffled = type(batch)(
        batch.coordinates[order], batch.features[order], batch.batch_size, batch.grid_size
    )
    network = single(convolution(2, "full", 3, 5, 3, 2, 1))
    assert network_cost(network, shuffled) == network_cost(network, batch)


def test_an_empty_batch_costs_nothing_but_its_weights(random_batch):
    cost = network_cost(single(convolution(2, "full", 3, 5, 3)), random_batch(density=0))
    assert (cost.active_pairs, cost.multiply_adds, cost.output_sites) == (0, 0, 0)
    assert cost.elements == 3 * 5 * 9
    assert cost.dense_multiply_adds > 0


def test_a_backward_pass_multiplies_twice_as_much_and_a_training_step_three_times():
    multiply_adds = {phase: phase_multiply_adds(phase, 100) for phase in Phase}
    assert multiply_adds == {
        Phase.ENCODE: 0,
        Phase.MAP: 0,
        Phase.FORWARD: 100,
        Phase.BACKWARD: 200,
        Phase.DECODE: 0,
        Phase.FORWARD_COLD: 100,
        Phase.TRAIN_STEP: 300,
    }


@pytest.fixture
def known():
    """Two neighbouring sites on a 2D grid, one channel to four, kernel 1x2: 1 x 8 taps."""
    batch = sparse_batch(
        torch.tensor([(0, 1, 1), (0, 1, 2)], dtype=torch.int32), torch.ones(2, 1), 1, (3, 4)
    )
    cost = network_cost(single(convolution(2, "full", 1, 4, (1, 2))), batch)
    # Windows start at columns 0, 1, 2: three output sites, four pairs.
    assert (cost.active_pairs, cost.output_sites) == (4, 3)
    assert cost.elements == 2 + 8 + 12
    return batch, cost


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.ENCODE, 2 * 12 + 2 * 2 * 4),
        (Phase.MAP, 2 * 12 + 4 * 8),
        (Phase.FORWARD, 22 * 4),
        (Phase.BACKWARD, 2 * 22 * 4),
        (Phase.DECODE, 3 * 12 + 2 * 12 * 4),
        (Phase.FORWARD_COLD, 2 * 12 + 22 * 4),
        (Phase.TRAIN_STEP, 2 * 12 + 3 * 22 * 4),
    ],
)
def test_bytes_of_a_phase_are_what_it_must_touch(phase, expected, known):
    batch, cost = known
    assert phase_bytes(phase, cost, batch, element_bytes=4) == expected


def test_half_the_element_size_halves_all_bytes_but_the_coordinates(known):
    batch, cost = known
    assert phase_bytes(Phase.FORWARD, cost, batch, 2) == 22 * 2
    assert phase_bytes(Phase.FORWARD_COLD, cost, batch, 2) == 2 * 12 + 22 * 2
