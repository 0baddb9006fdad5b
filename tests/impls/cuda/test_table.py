"""The table of neighbours, in every way that it is looked up, against a search in plain Python."""

import itertools

import pytest
import torch

from bench.window import Window
from impls.cuda.places import Places, Seen, Tuning
from tests.cuda_on_host.build import COMPILER, HostLauncher

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]

GEOMETRIES = {
    "1D": ((40,), Window((5,), (1,), (2,), (1,))),
    "1D, strided": ((37,), Window((4,), (3,), (2,), (2,))),
    "1D, one offset": ((20,), Window((1,), (1,), (0,), (1,))),
    "2D": ((14, 12), Window((3, 3), (1, 1), (1, 1), (1, 1))),
    "2D, each axis its own": ((16, 13), Window((2, 5), (2, 1), (0, 3), (3, 2))),
    "2D, more offsets than a key has bits": ((11, 9), Window((6, 7), (1, 2), (4, 3), (1, 1))),
    "3D": ((7, 8, 6), Window((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))),
    "3D, each axis its own": ((9, 5, 8), Window((3, 1, 4), (2, 1, 3), (2, 1, 0), (1, 2, 2))),
}
WAYS = {
    (rows, index): Tuning(
        whole_rows=0 if rows == "whole rows" else 10**6,
        bitmap_sites=2**31 if index == "bitmap" else 0,
        grouped_rows=0,
    )
    for rows in ("whole rows", "single offsets")
    for index in ("bitmap", "hash table")
}
SAMPLES = 2


def drawn(grid_size, density, seed):
    """Random sites in canonical order: int32 `[N, 1 + D]`."""
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand((SAMPLES, *grid_size), generator=generator) < density
    return active.nonzero().int().contiguous()


def expected(inputs, grid_size, outputs, window):
    """What the table should be, site by site."""
    rows = {tuple(site): row for row, site in enumerate(inputs.tolist())}

    def seen(sample, place, offset):
        axes = zip(place, window.stride, window.padding, offset, window.dilation, strict=True)
        source = [
            at * stride - padding + by * dilation for at, stride, padding, by, dilation in axes
        ]
        if not all(0 <= at < size for at, size in zip(source, grid_size, strict=True)):
            return -2
        return rows.get((sample, *source), -1)

    found = [
        [seen(sample, place, offset) for sample, *place in outputs.tolist()]
        for offset in window.offsets()
    ]
    return torch.tensor(found, dtype=torch.int32).view(window.volume, len(outputs))


@pytest.fixture(params=list(itertools.product((0, 3), WAYS)), ids=str)
def places_of(request, kernels_folder):
    """Makes `Places` that look up in one way, with threads in ascending or shuffled order."""
    seed, way = request.param

    def make(sites, grid_size):
        launcher = HostLauncher(kernels_folder, seed)
        return Places(sites, SAMPLES, grid_size, launcher, WAYS[way])

    return make


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_way_finds_the_rows_that_a_search_finds(places_of, name):
    grid_size, window = GEOMETRIES[name]
    inputs = drawn(grid_size, 0.3, 0)
    outputs = drawn(window.output_grid(grid_size), 0.5, 1)
    places = places_of(inputs, grid_size)
    seen = places.look_up_inputs(outputs, window)
    wanted = expected(inputs, grid_size, outputs, window)
    assert torch.equal(seen.table, wanted)
    assert (wanted >= 0).any()
    assert (wanted == -1).any()
    assert bool((wanted == -2).any()) is (max(window.padding) > 0)
    back = places_of(outputs, window.output_grid(grid_size)).look_up_outputs(inputs, window)
    for offset, row in (wanted >= 0).nonzero().tolist():
        assert back.table[offset, wanted[offset, row]] == row
    assert int((back.table >= 0).sum()) == int((wanted >= 0).sum())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_are_brought_into_one_order_however_they_were_looked_up(places_of, name):
    grid_size, window = GEOMETRIES[name]
    places = places_of(drawn(grid_size, 0.3, 0), grid_size)
    seen = places.look_up_inputs(drawn(window.output_grid(grid_size), 0.5, 1), window)
    whole = places.tuning.whole_rows == 0
    assert (seen.keys is not None) is (whole and 1 < window.volume <= 31)
    grouped = places.group_rows(seen)
    if window.volume == 1:
        assert grouped is None
        return
    table, order = grouped
    assert torch.equal(table, seen.table[:, order.long()])
    assert torch.equal(order, places.group_rows(Seen(seen.table))[1])


def test_no_sites_have_a_table_without_columns(places_of):
    grid_size, window = GEOMETRIES["3D"]
    nothing = drawn(grid_size, 0, 0)
    for inputs in (nothing, drawn(grid_size, 0.3, 0)):
        seen = places_of(inputs, grid_size).look_up_inputs(nothing, window)
        assert seen.table.shape == (27, 0)
    seen = places_of(nothing, grid_size).look_up_inputs(drawn(grid_size, 0.3, 0), window)
    assert (seen.table < 0).all()
    assert places_of(nothing, grid_size).group_rows(seen)[1].shape == seen.table.shape[1:]


def test_a_row_is_looked_up_whole_where_rows_fill_the_device(kernels_folder):
    grid_size, window = GEOMETRIES["2D"]
    launcher = HostLauncher(kernels_folder)
    for density, name in ((0.9, "look_up_inputs"), (1.0, "look_up_all_inputs<unsigned>")):
        sites = drawn(grid_size, density, 0)
        tuning = Tuning(whole_rows=len(drawn(grid_size, 1.0, 0)) // launcher.multiprocessors(None))
        places = Places(sites, SAMPLES, grid_size, launcher, tuning)
        assert places.look_up_inputs(sites, window).keys is None  # too few rows to be grouped
        assert launcher.launched[-1].name == name
