"""Kernel maps from coordinates through torch, on any device and for any size of grid."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.batch import coordinates_of
from bench.window import Axes, Window
from impls.gather.pairs import Pairs, pairs_of

if TYPE_CHECKING:
    from impls.gather.sites import Sites

LARGEST_GRID = 2**27
SITES_OF_GRID_PER_ACTIVE_SITE = 2000
"""A dense index grid is used up to this size; zeroing it costs about what sorting the keys would."""


def grid_sites(batch_size: int, grid_size: Axes) -> int:
    """Number of sites of a batch's grid."""
    for size in grid_size:
        batch_size *= size
    return batch_size


def grid_is_affordable(size: int, active: int) -> bool:
    """Whether one entry for each site of the grid costs less than sorting the active ones."""
    return size <= LARGEST_GRID and size <= SITES_OF_GRID_PER_ACTIVE_SITE * max(active, 1)


def with_inputs_at(pairs: Pairs, places: Tensor) -> Pairs:
    """Return a map whose input rows lie elsewhere: row i at `places[i]`, nowhere where that is -1."""
    inputs, outputs = [], []
    numbers = torch.arange(len(places), device=places.device)
    found = {offset: rows for offset, *rows in pairs.by_offset()}
    nothing = numbers[:0]
    for offset in range(pairs.places.shape[1]):
        some, targets = found.get(offset, (nothing, nothing))
        moved = places[numbers if some is None else some]
        kept = moved >= 0
        inputs.append(moved[kept])
        outputs.append((numbers if targets is None else targets)[kept])
    return pairs_of(inputs, outputs, pairs.output_count)


def submanifold_pairs(sites: "Sites", window: Window) -> Pairs:
    """Look up half of every site's neighbours; the other half are the same pairs turned round."""
    taps = list(window.offsets())
    centre = len(taps) // 2
    before: list[tuple[Tensor, Tensor]] = []
    for tap in taps[:centre]:
        shift = [
            (place - size // 2) * dilation
            for place, size, dilation in zip(tap, window.kernel_size, window.dilation, strict=True)
        ]
        seeing, keys = _shifted_keys(sites, shift)
        rows = sites.find(keys)
        found = rows >= 0
        before.append((rows[found], seeing[found]))
    every = torch.arange(sites.count, device=sites.coordinates.device)
    after = [(targets, rows) for rows, targets in reversed(before)]
    inputs, outputs = zip(*before, (every, every), *after, strict=True)
    return pairs_of(list(inputs), list(outputs), sites.count, centre)


def _shifted_keys(sites: "Sites", shift: list[int]) -> tuple[Tensor, Tensor]:
    """Rows whose neighbour at a shift lies on the grid, and that neighbour's key."""
    coordinates = sites.coordinates
    inside: Tensor | None = None
    for axis, (step, size) in enumerate(zip(shift, sites.grid_size, strict=True), start=1):
        if step:
            column = coordinates[:, axis]
            good = column >= -step if step < 0 else column < size - step
            inside = good if inside is None else inside & good
    stride, change = 1, 0
    for step, size in zip(reversed(shift), reversed(sites.grid_size), strict=True):
        change += step * stride
        stride *= size
    if inside is None:
        rows = torch.arange(sites.count, device=coordinates.device)
    else:
        rows = inside.nonzero().squeeze(1)
    return rows, sites.keys[rows] + change


def full_pairs(sites: "Sites", window: Window, output_grid: Axes) -> tuple[Pairs, Tensor]:
    """Push every site through every offset; what is hit becomes an output site.

    Returns:
        The map, and the coordinates of the output sites in canonical order.
    """
    rows_of, keys_of = [], []
    for tap in window.offsets():
        rows, keys = _pushed_keys(sites, window, tap, output_grid)
        rows_of.append(rows)
        keys_of.append(keys)
    hit = torch.cat(keys_of)
    size = grid_sites(sites.batch_size, output_grid)
    if grid_is_affordable(size, sites.count):
        index = torch.zeros(size, dtype=torch.int32, device=hit.device)
        index[hit] = 1
        keys = index.nonzero().squeeze(1)
        index[keys] = torch.arange(len(keys), dtype=torch.int32, device=hit.device)
        targets = index[hit]
    else:
        keys, targets = hit.unique(return_inverse=True)
    outputs = list(targets.split([len(rows) for rows in rows_of]))
    return pairs_of(rows_of, outputs, len(keys)), coordinates_of(keys, output_grid)


def _pushed_keys(
    sites: "Sites", window: Window, tap: Axes, output_grid: Axes
) -> tuple[Tensor, Tensor]:
    """Rows that an offset connects to an output site, and that site's key."""
    keys = sites.coordinates[:, 0].long()
    kept: Tensor | None = None
    for axis, size in enumerate(output_grid):
        step = window.stride[axis]
        shifted = sites.coordinates[:, axis + 1] + (
            window.padding[axis] - tap[axis] * window.dilation[axis]
        )
        output = shifted if step == 1 else shifted.div(step, rounding_mode="floor")
        good = (output >= 0) & (output < size)
        if step > 1:
            good &= output * step == shifted
        kept = good if kept is None else kept & good
        keys = keys * size + output
    if kept is None:
        raise AssertionError("a grid has at least one axis")
    rows = kept.nonzero().squeeze(1)
    return rows, keys[rows]


def window_table(
    pairs: Pairs, sites: Tensor, grid_size: Axes, window: Window, active: int
) -> Tensor:
    """Which input row every output row sees through each offset: int32 `[M, K]`.

    Args:
        pairs: the convolution's map.
        sites: output sites.
        grid_size: the input's.
        window: the convolution's.
        active: number of input rows; stands for an inactive site, and the next one for padding.
    """
    columns = []
    for tap in window.offsets():
        on_grid = torch.ones(len(sites), dtype=torch.bool, device=sites.device)
        for axis, size in enumerate(grid_size):
            site = sites[:, axis + 1] * window.stride[axis] + (
                tap[axis] * window.dilation[axis] - window.padding[axis]
            )
            on_grid &= (site >= 0) & (site < size)
        columns.append(torch.where(on_grid, active, active + 1).to(torch.int32))
    table = torch.stack(columns, 1)
    for offset, inputs, outputs in pairs.by_offset():
        if inputs is None or outputs is None:
            table[:, offset] = torch.arange(active, dtype=torch.int32, device=sites.device)
        else:
            table[outputs, offset] = inputs
    return table
