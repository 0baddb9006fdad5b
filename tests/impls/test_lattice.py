import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.batch import SparseBatch, coordinates_of
from bench.errors import UserError
from bench.operators import Convolution, Rule
from bench.sites import output_sites
from bench.window import Window, window
from impls import lattice
from impls.full_windows import full_windows
from impls.lattice import Lattice, touched_sites


@st.composite
def cases(draw):
    """A window, and the sites of a grid that it fits on."""
    axes = range(draw(st.integers(1, 3)))

    def numbers(least, most):
        return tuple(draw(st.integers(least, most)) for _ in axes)

    geometry = Window(numbers(1, 4), numbers(1, 3), numbers(0, 3), numbers(1, 3))
    grid_size = numbers(1, 6)
    keys = draw(st.sets(st.integers(0, 2 * math.prod(grid_size) - 1)))
    coordinates = coordinates_of(torch.tensor(sorted(keys), dtype=torch.int64), grid_size)
    return geometry, grid_size, coordinates


@given(cases(), st.booleans())
def test_touched_sites_are_the_reference_s_whichever_way_they_are_found(case, marking):
    geometry, grid_size, coordinates = case
    batch = SparseBatch(coordinates, torch.zeros(len(coordinates), 1), 2, grid_size)
    try:
        wanted = output_sites(Convolution(Rule.FULL, 1, 1, geometry), batch)
    except UserError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lattice, "SITES_PER_KEY", 1e9 if marking else 0)
        found = touched_sites(coordinates, geometry, 2, grid_size)
    assert found.dtype == torch.int32
    assert found.is_contiguous()
    assert torch.equal(found, wanted)


@given(cases())
def test_a_library_s_kernel_around_stored_outputs_sees_torch_s_window(case):
    """MinkowskiEngine's offsets: around the output point for odd sizes, from it on for even ones."""
    geometry, _, _ = case
    inputs = Lattice((2,) * geometry.dimensions, (3,) * geometry.dimensions)
    outputs = inputs.after(geometry)
    site = torch.zeros((1, 1 + geometry.dimensions), dtype=torch.int32)
    site[0, 1:] = 5
    for offset in geometry.offsets():
        seen = site.clone()
        at = outputs.store(site)
        for axis, (tap, size) in enumerate(zip(offset, geometry.kernel_size, strict=True)):
            seen[0, axis + 1] = (
                5 * geometry.stride[axis] - geometry.padding[axis] + tap * geometry.dilation[axis]
            )
            theirs = tap - size // 2 if size % 2 else tap
            at[0, axis + 1] += theirs * geometry.dilation[axis] * inputs.step[axis]
        assert torch.equal(at, inputs.store(seen))


@given(cases())
def test_stored_coordinates_come_back(case):
    geometry, _, coordinates = case
    stored = Lattice((3,) * geometry.dimensions, (-2,) * geometry.dimensions).after(geometry)
    assert torch.equal(stored.restore(stored.store(coordinates)), coordinates)


@pytest.mark.parametrize(
    ("geometry", "grid_size", "shift", "tiles"),
    [
        (window(2, 2, 2), (8, 6), 0, True),
        (window(2, 2, 2), (8, 6), 4, True),
        (window(2, 2, 2), (8, 6), 1, False),  # cells that begin between the library's
        (window(2, 2, 2), (8, 7), 0, False),  # sites past the last whole window
        (window(2, 3, 2), (8, 6), 0, False),
        (window(2, 2, 2, 1), (8, 6), 0, False),
        (window(2, 2, 2, 0, 2), (8, 6), 0, False),
    ],
)
def test_only_windows_that_tile_the_grid_are_left_to_the_library_s_rounding(
    geometry, grid_size, shift, tiles
):
    assert Lattice((2, 2), (shift, shift)).tiles(geometry, grid_size) is tiles


def test_full_windows_ignore_what_lies_beyond_the_grid():
    grid_size = (3, 3)
    outputs = coordinates_of(torch.arange(9), grid_size)
    on_grid = torch.tensor([4, 6, 4, 6, 9, 6, 4, 6, 4])
    geometry = window(2, 3, 1, 1)
    assert full_windows(on_grid, lambda: outputs, geometry, grid_size).all()
    for site in range(9):
        fewer = on_grid.clone()
        fewer[site] -= 1
        full = full_windows(fewer, lambda: outputs, geometry, grid_size)
        assert full.tolist() == [other != site for other in range(9)]


def test_full_windows_without_padding_hold_every_tap():
    outputs = torch.tensor(list(itertools.product([0], range(2), range(2))), dtype=torch.int32)
    active = torch.tensor([4, 3, 0, 4])
    full = full_windows(active, lambda: outputs, window(2, 2), (3, 3))
    assert full.tolist() == [True, False, False, True]
