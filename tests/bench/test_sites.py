import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, fits, windows
from torch.nn import functional as F  # noqa: N812

from bench.batch import sparse_batch
from bench.network import INPUT, Layer, Network
from bench.operators import (
    Convolution,
    InverseConvolution,
    MaxPooling,
    Rectifier,
    Rule,
    convolution,
    max_pooling,
)
from bench.sites import active_pairs, all_pairs, neighbours, network_sites, output_sites

CONVOLVE = {2: F.conv2d, 3: F.conv3d}


@st.composite
def windows_on_batches(draw):
    dimensions = draw(st.sampled_from([2, 3]))
    return draw(windows(dimensions, largest_kernel=3)), draw(batches(dimensions))


def counted(window, batch):
    """Active sites under the kernel at every output site, by torch: `[B, 1, *grid]`."""
    return CONVOLVE[window.dimensions](
        batch.mask().double(),
        torch.ones((1, 1, *window.kernel_size), dtype=torch.float64),
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
    )


def sites_of(mask):
    return mask.squeeze(1).nonzero().tolist()


@given(windows_on_batches())
def test_output_sites_are_where_a_convolution_of_the_mask_is_positive(drawn):
    window, batch = drawn
    if not fits(window, batch.grid_size):
        return
    expected = sites_of(counted(window, batch) > 0)
    operators = [Convolution(rule, 1, 1, window) for rule in (Rule.FULL, Rule.SPARSITY_INVARIANT)]
    if all(2 * p <= k for p, k in zip(window.padding, window.kernel_size, strict=True)):
        operators.append(MaxPooling(window))
    for operator in operators:
        found = output_sites(operator, batch)
        assert found.dtype == torch.int32
        assert found.tolist() == expected


@given(windows_on_batches())
def test_active_pairs_are_the_sum_of_a_convolution_of_the_mask(drawn):
    window, batch = drawn
    if not fits(window, batch.grid_size):
        return
    outputs = output_sites(Convolution(Rule.FULL, 1, 1, window), batch)
    assert active_pairs(window, outputs, batch) == int(counted(window, batch).sum())


@given(windows_on_batches())
def test_neighbours_name_the_input_row_under_every_tap(drawn):
    window, batch = drawn
    if not fits(window, batch.grid_size):
        return
    outputs = output_sites(Convolution(Rule.FULL, 1, 1, window), batch)
    rows, inside = neighbours(window, outputs, batch)
    row_of = {tuple(site): row for row, site in enumerate(batch.coordinates.tolist())}
    taps = list(itertools.product(*(range(size) for size in window.kernel_size)))
    assert rows.shape == inside.shape == (len(outputs), len(taps))
    for number, (sample, *corner) in enumerate(outputs.tolist()):
        for column, tap in enumerate(taps):
            site = [
                place * stride - padding + step * dilation
                for place, step, stride, padding, dilation in zip(
                    corner, tap, window.stride, window.padding, window.dilation, strict=True
                )
            ]
            on_grid = all(
                0 <= place < size for place, size in zip(site, batch.grid_size, strict=True)
            )
            assert bool(inside[number, column]) == on_grid
            assert int(rows[number, column]) == row_of.get((sample, *site), -1)


@given(st.sampled_from([2, 3]).flatmap(batches), st.sampled_from([1, 3]), st.integers(1, 2))
def test_a_submanifold_convolution_is_active_where_its_input_is(batch, kernel_size, dilation):
    operator = convolution(
        batch.dimensions, "submanifold", 1, 1, kernel_size, dilation=dilation, bias=False
    )
    outputs = output_sites(operator, batch)
    assert torch.equal(outputs, batch.coordinates)
    at_sites = counted(operator.window, batch)[batch.mask()]
    assert active_pairs(operator.window, outputs, batch) == int(at_sites.sum())


def test_rows_out_of_order_give_the_same_sites_and_pairs(random_batch):
    batch = random_batch((6, 7))
    order = torch.randperm(batch.sites)
    shuffled = type(batch)(
        batch.coordinates[order], batch.features[order], batch.batch_size, batch.grid_size
    )
    for operator in (
        convolution(2, "submanifold", 3, 1, 3),
        convolution(2, "full", 3, 1, 3, 2, 1),
        max_pooling(2, 2, 2),
    ):
        outputs = output_sites(operator, batch)
        assert torch.equal(output_sites(operator, shuffled), outputs)
        assert active_pairs(operator.window, outputs, shuffled) == active_pairs(
            operator.window, outputs, batch
        )


@pytest.mark.parametrize("rule", list(Rule))
def test_no_site_gives_no_output_site_and_no_pair(rule, random_batch):
    batch = random_batch(density=0)
    operator = convolution(2, rule, 3, 1, 3)
    outputs = output_sites(operator, batch)
    assert outputs.shape == (0, 3)
    assert active_pairs(operator.window, outputs, batch) == 0


def test_a_grid_far_too_large_to_densify_is_no_obstacle():
    far = 2**20 - 1
    coordinates = torch.tensor([(0, 0, 0, 0), (0, far, far, far)], dtype=torch.int32)
    batch = sparse_batch(coordinates, torch.ones(2, 1), 1, (2**20,) * 3)
    operator = convolution(3, "full", 1, 1, 2)
    outputs = output_sites(operator, batch)
    # Two corners of the grid: one window reaches each of them.
    assert outputs.tolist() == [[0, 0, 0, 0], [0, far - 1, far - 1, far - 1]]
    assert active_pairs(operator.window, outputs, batch) == 2


def test_all_pairs_are_the_active_pairs_of_every_touched_site():
    geometry = convolution(2, "full", 1, 1, 3, 2, 1).window
    sites = torch.tensor([(0, 0, 0), (0, 2, 3), (1, 4, 4)], dtype=torch.int32)
    batch = sparse_batch(sites, torch.ones(3, 1), 2, (5, 5))
    outputs = output_sites(Convolution(Rule.FULL, 1, 1, geometry), batch)
    assert all_pairs(geometry, batch) == active_pairs(geometry, outputs, batch) > 0


def test_sites_after_a_network_are_followed_through_its_branches():
    down = convolution(2, "full", 1, 1, 2, 2)
    network = Network(
        (
            Layer("down", down),
            Layer("relu", Rectifier()),
            Layer("wide", convolution(2, "full", 1, 1, 3, padding=1)),
            Layer("up", InverseConvolution(1, 1, down.window), ("wide", INPUT)),
            Layer("pool", max_pooling(2, 2, 2)),
        )
    )
    sites = torch.tensor([(0, 0, 0), (0, 3, 3)], dtype=torch.int32)
    batch = sparse_batch(sites, torch.ones(2, 1), 2, (4, 6))
    found = network_sites(network, batch)
    assert found.coordinates.tolist() == [[0, 0, 0], [0, 1, 1]]
    assert (found.grid_size, found.batch_size, found.channels) == ((2, 3), 2, 0)
    wide = network_sites(Network(network.layers[:3]), batch)
    assert wide.coordinates.tolist() == [[0, row, column] for row in (0, 1) for column in (0, 1, 2)]
