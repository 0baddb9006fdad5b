from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.batch import coordinates_of
from bench.conformance.properties import batches
from bench.errors import UserError
from bench.measure.memory import peak_of
from bench.window import Window, window
from impls.gather import compiled, torch_map
from impls.gather.compiled import Layout
from impls.gather.sites import Sites, turned_round
from impls.gather.torch_map import grid_is_affordable
from suites.patterns import Uniform

CPU = torch.device("cpu")
on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not say"
)


def sites_of(batch):
    return Sites(batch.coordinates, batch.batch_size, batch.grid_size)


def rows_of(pairs):
    """Offset, input rows, output rows as plain lists; None stands for all rows."""
    return [
        (
            offset,
            None if inputs is None else inputs.tolist(),
            None if outputs is None else outputs.tolist(),
        )
        for offset, inputs, outputs in pairs.by_offset()
    ]


def lists_of(windows):
    """What each output row sees, as plain lists."""
    return [windows.seen[begin:end].tolist() for begin, end in windows.places.T]


def lists_in(table, active):
    """The same of a table: without padding, and of inactive sites the first only."""
    rows = []
    for seen in table.tolist():
        inactive = seen.index(active) if active in seen else None
        rows.append([row for k, row in enumerate(seen) if row < active or k == inactive])
    return rows


@st.composite
def maps(draw):
    dimensions = draw(st.sampled_from([2, 3]))
    batch = draw(batches(dimensions, 1, torch.float64))

    def axes(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(dimensions))

    drawn = Window(axes(1, 3), axes(1, 2), axes(0, 1), axes(1, 2))
    odd = tuple(draw(st.sampled_from([1, 3])) for _ in range(dimensions))
    return batch, drawn, window(dimensions, odd, 1, tuple(size // 2 for size in odd))


@pytest.fixture(scope="module")
def every_way():
    """Build something compiled, on a bitmap and on a folded one, then through torch, with sorted keys
    and with a grid of row numbers.
    """

    def fold(*_):
        return Layout.FOLDED

    def build(make):
        results = []
        for numba, folds, largest in (
            (True, False, 0),
            (True, True, 0),
            (False, False, 0),
            (False, False, 2**62),
        ):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(compiled, "NUMBA", numba)
                if folds:
                    patched.setattr(compiled, "layout", fold)
                patched.setattr(torch_map, "LARGEST_GRID", largest)
                patched.setattr(torch_map, "SITES_OF_GRID_PER_ACTIVE_SITE", largest)
                results.append(make())
        return results

    return build


@given(drawn=maps())
def test_a_kernel_map_is_the_same_whichever_way_it_is_built(every_way, drawn):
    batch, any_window, submanifold = drawn
    try:
        any_window.output_grid(batch.grid_size)
    except UserError:  # a window that does not fit the grid
        return
    for geometry, is_submanifold in ((any_window, False), (submanifold, True)):
        (first, outputs), *others = every_way(
            lambda g=geometry, s=is_submanifold: sites_of(batch).kernel_map(g, submanifold=s)
        )
        for pairs, same_outputs in others:
            assert torch.equal(outputs.coordinates, same_outputs.coordinates)
            assert first.output_count == pairs.output_count
            assert first.every == pairs.every
            assert rows_of(first) == rows_of(pairs)
    (windows, _), (folded, _), *others = every_way(lambda: sites_of(batch).windows(any_window))
    assert lists_of(windows) == lists_of(folded)
    for table, _ in others:
        assert lists_of(windows) == lists_in(table, batch.sites)


@given(drawn=maps())
def test_each_offsets_rows_ascend_on_both_sides(drawn):
    batch, any_window, submanifold = drawn
    try:
        any_window.output_grid(batch.grid_size)
    except UserError:  # a window that does not fit the grid
        return
    for geometry, is_submanifold in ((any_window, False), (submanifold, True)):
        pairs, _ = sites_of(batch).kernel_map(geometry, submanifold=is_submanifold)
        for _, inputs, outputs in pairs.by_offset():
            for rows in (inputs, outputs):
                assert rows is None or bool((rows[1:] > rows[:-1]).all())


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_sites_are_found_by_their_keys(every_way, density, random_batch):
    batch = random_batch((9, 8), density=density)
    every = torch.arange(batch.all_sites)
    expected = torch.full((batch.all_sites,), -1)
    expected[batch.keys()] = torch.arange(batch.sites)
    for rows in every_way(lambda: sites_of(batch).find(every)):
        assert torch.equal(rows, expected)


def test_the_ways_are_really_different(every_way, random_batch):
    sites = sites_of(random_batch())
    ways = [Layout.WHOLE, Layout.FOLDED, Layout.NONE, Layout.NONE]
    assert every_way(lambda: compiled.layout(sites, (8, 8))) == ways
    assert every_way(lambda: grid_is_affordable(1000, 10)) == [False, False, False, True]


def test_a_bitmap_is_for_grids_that_are_small_for_their_sites():
    def found(sites, *grid_size, through=None):
        coordinates = torch.zeros((sites, 4), dtype=torch.int32)
        return compiled.layout(Sites(coordinates, 1, grid_size), grid_size, through)

    assert found(10_000, 64, 64, 64) is Layout.WHOLE
    assert found(125_562, 80, 1600, 1600) is Layout.WHOLE
    assert found(12_556, 80, 1600, 1600) is Layout.FOLDED
    assert found(1, 1024, 1024, 64) is Layout.WHOLE
    assert found(1, 1024, 1025, 64) is Layout.NONE  # a number for each line is too much as well
    assert found(1, 1024, 512, 130) is Layout.FOLDED
    assert found(100_000, 200, 2000, 2000) is Layout.FOLDED
    assert found(100_000, 200, 2000, 2000, through=window(3, 2, 2)) is Layout.FOLDED
    assert found(100_000, 200, 2000, 2000, through=window(3, 2, 1)) is Layout.NONE
    assert found(100_000, 2000, 2000, 200) is Layout.FOLDED
    assert found(10**7, 4096, 4097, 64) is Layout.NONE


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_grid_that_is_large_for_its_sites_has_the_same_map(batch_size, monkeypatch):
    batch = Uniform((200, 400, 5000), batch_size, 1e-5).batch(1, 0)
    near = batch.coordinates.repeat_interleave(2, 0)
    near[1::2, -1] += 1  # so that sites have neighbours
    near = near[near[:, -1] < 5000].unique(dim=0)

    def make(window, *, submanifold):
        sites = Sites(near, batch_size, batch.grid_size)
        return sites.kernel_map(window, submanifold=submanifold)

    cases = [(window(3, 3, 1, 1), True), (window(3, 3, 2, 1), False)]
    found = [make(each, submanifold=kept) for each, kept in cases]
    sites = Sites(near, batch_size, batch.grid_size)
    assert compiled.submanifold_layout(sites, cases[0][0]) is Layout.FOLDED
    monkeypatch.setattr(compiled, "NUMBA", False)
    for (pairs, outputs), (each, kept) in zip(found, cases, strict=True):
        same, same_outputs = make(each, submanifold=kept)
        assert torch.equal(outputs.coordinates, same_outputs.coordinates)
        assert rows_of(pairs) == rows_of(same)


@on_linux
def test_the_map_of_a_large_grid_takes_little_memory():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(80 * 1600 * 1600, (125_562,), generator=generator).unique()
    sites = Sites(coordinates_of(keys, (80, 1600, 1600)), 1, (80, 1600, 1600))
    geometry = window(3, 3, 1, 1)
    compiled.prepare()
    (pairs, _), peak = peak_of(lambda: sites.kernel_map(geometry, submanifold=True), CPU)
    assert pairs.count >= len(keys)
    assert peak < 200e6


def test_a_grid_of_row_numbers_is_for_grids_that_are_small_for_their_sites():
    assert grid_is_affordable(2**27, 10**6)
    assert not grid_is_affordable(2**27 + 1, 10**6)
    assert grid_is_affordable(20_000, 10)
    assert not grid_is_affordable(20_001, 10)
    assert grid_is_affordable(2000, 0)


def test_a_grid_too_large_for_row_numbers_gives_right_results():
    far = 2**20 - 1
    coordinates = torch.tensor([(0, 0, 0, 0), (0, 0, 0, 1), (0, far, far, far)], dtype=torch.int32)
    sites = Sites(coordinates, 1, (2**20,) * 3)
    pairs, outputs = sites.kernel_map(window(3, 3, 1, 1), submanifold=True)
    assert outputs is sites
    # Taps 12, 13, 14 look at the left neighbour, the site itself, the right neighbour.
    assert rows_of(pairs) == [(12, [0], [1]), (13, None, None), (14, [1], [0])]


def test_a_map_turned_round_finds_sites_that_the_source_holds_in_other_places():
    # The source has one coarse site more and one less than the convolution would have made.
    target = Sites(torch.tensor([(0, 0, 0), (0, 0, 3)], dtype=torch.int32), 1, (2, 6))
    pairs, coarse = target.kernel_map(window(2, 2, 2), submanifold=False)
    assert coarse.coordinates.tolist() == [[0, 0, 0], [0, 0, 1]]
    source = Sites(torch.tensor([(0, 0, 1), (0, 0, 2)], dtype=torch.int32), 1, (1, 3))
    turned = turned_round(pairs, coarse, source, target)
    found = {
        (offset, int(i), int(t))
        for offset, inputs, targets in turned.by_offset()
        for i, t in zip(inputs, targets, strict=True)
    }
    # Column 3 is the right column of coarse site 1, now row 0; column 0 has lost its coarse site.
    assert found == {(1, 0, 1)}
    assert turned.output_count == 2


def test_counts_are_the_active_sites_under_the_kernel(random_batch):
    batch = random_batch(density=0.4)
    for geometry, submanifold in ((window(2, 3, 1, 1), True), (window(2, 2, 2), False)):
        pairs, outputs = sites_of(batch).kernel_map(geometry, submanifold=submanifold)
        ones = torch.ones((1, 1, *geometry.kernel_size)).double()
        counts = torch.nn.functional.conv2d(
            batch.mask().double(), ones, stride=geometry.stride, padding=geometry.padding
        )
        sample, row, column = outputs.coordinates.long().unbind(1)
        assert torch.equal(pairs.active, counts[sample, 0, row, column].long())
