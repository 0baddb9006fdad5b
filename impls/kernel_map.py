"""Kernel maps from coordinates, through torch on any device: pairs, output sites, pooling tables."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.batch import coordinates_of, linear_keys
from bench.window import Axes, Window

LARGEST_GRID = 2**27
SITES_OF_GRID_PER_ACTIVE_SITE = 2000
"""A dense index grid is used up to this size; zeroing it costs about what sorting the keys would."""


class Sites:
    """Active sites in canonical order, with the kernel maps that were built for them.

    Layers of the same geometry on the same sites share one map, because they share this object.
    """

    def __init__(self, coordinates: Tensor, batch_size: int, grid_size: Axes) -> None:
        self.coordinates = coordinates
        self.batch_size = batch_size
        self.grid_size = grid_size
        self._keys: Tensor | None = None
        self._index: Tensor | None = None
        # No map refers back to these sites: a cycle would outlive them until the next collection.
        self._submanifold: dict[Window, Pairs] = {}
        self._full: dict[Window, tuple[Pairs, Sites]] = {}
        self._tables: dict[Window, Tensor] = {}

    @property
    def count(self) -> int:
        """Number of active sites."""
        return len(self.coordinates)

    @property
    def keys(self) -> Tensor:
        """Sites numbered in lexicographic order: int64 `[N]`, ascending."""
        if self._keys is None:
            self._keys = linear_keys(self.coordinates, self.grid_size)
        return self._keys

    def find(self, keys: Tensor) -> Tensor:
        """Row of each key, or -1: int64."""
        if not self.count:
            return torch.full_like(keys, -1)
        size = grid_sites(self.batch_size, self.grid_size)
        if grid_is_affordable(size, self.count):
            if self._index is None:
                self._index = torch.full((size,), -1, dtype=torch.int32, device=keys.device)
                rows = torch.arange(self.count, dtype=torch.int32, device=keys.device)
                self._index[self.keys] = rows
            return self._index[keys].long()
        place = torch.searchsorted(self.keys, keys).clamp_(max=self.count - 1)
        return torch.where(self.keys[place] == keys, place, -1)

    def kernel_map(self, window: Window, *, submanifold: bool) -> "tuple[Pairs, Sites]":
        """Kernel map and output sites of a convolution, built once."""
        if submanifold:
            if window not in self._submanifold:
                self._submanifold[window] = _submanifold_pairs(self, window)
            return self._submanifold[window], self
        if window not in self._full:
            self._full[window] = _full_pairs(self, window)
        return self._full[window]

    def pooling_table(self, window: Window) -> "tuple[Tensor, Sites]":
        """For each offset the input row that each output site sees, int64 `[K, M]`; output sites.

        Row N stands for an inactive site of the grid, row N + 1 for padding.
        """
        pairs, outputs = self.kernel_map(window, submanifold=False)
        if window not in self._tables:
            table = _inside(outputs, window, self.grid_size, self.count)
            for offset, inputs, targets in pairs.by_offset():
                if inputs is not None and targets is not None:
                    table[offset, targets] = inputs
            self._tables[window] = table
        return self._tables[window], outputs


@dataclass(frozen=True, eq=False)
class Pairs:
    """A kernel map: for each kernel offset the rows of its active pairs.

    Attributes:
        output_count: number of output rows.
        offsets: numbers of the offsets that have pairs, in torch's order of taps.
        inputs: input rows of each offset, int64; None in a submanifold map's centre: all rows.
        targets: output rows of each offset, int64; None likewise.
    """

    output_count: int
    offsets: list[int]
    inputs: list[Tensor | None]
    targets: list[Tensor | None]

    def by_offset(self) -> Iterator[tuple[int, Tensor | None, Tensor | None]]:
        """Offset number, input rows, output rows."""
        return zip(self.offsets, self.inputs, self.targets, strict=True)

    def counts(self, device: torch.device) -> Tensor:
        """Number of active sites under the kernel at each output site: int64 `[M]`."""
        count = torch.zeros(self.output_count, dtype=torch.int64, device=device)
        for target in self.targets:
            if target is None:
                count += 1
            else:
                count[target] += 1
        return count


def grid_sites(batch_size: int, grid_size: Axes) -> int:
    """Number of sites of a batch's grid."""
    for size in grid_size:
        batch_size *= size
    return batch_size


def grid_is_affordable(size: int, active: int) -> bool:
    """Whether one entry for each site of the grid costs less than sorting the active ones."""
    return size <= LARGEST_GRID and size <= SITES_OF_GRID_PER_ACTIVE_SITE * max(active, 1)


def reversed_map(pairs: Pairs, coarse: Sites, source: Sites, target: Sites) -> Pairs:
    """Turn a map round: from the rows that `source` holds of the coarse sites, to `target`'s."""
    inputs, targets = pairs.targets, pairs.inputs
    if source is not coarse and not torch.equal(source.keys, coarse.keys):
        rows = source.find(coarse.keys)
        kept_inputs: list[Tensor | None] = []
        kept_targets: list[Tensor | None] = []
        for some, fine in zip(inputs, targets, strict=True):
            moved = rows[some]
            kept = moved >= 0
            kept_inputs.append(moved[kept])
            kept_targets.append(None if fine is None else fine[kept])
        inputs, targets = kept_inputs, kept_targets
    return Pairs(target.count, pairs.offsets, inputs, targets)


def _submanifold_pairs(sites: Sites, window: Window) -> Pairs:
    """Look up half of every site's neighbours; the other half are the same pairs turned round."""
    taps = list(window.offsets())
    centre = len(taps) // 2
    before: list[tuple[int, Tensor, Tensor]] = []
    for number in range(centre):
        shift = [
            (tap - size // 2) * dilation
            for tap, size, dilation in zip(
                taps[number], window.kernel_size, window.dilation, strict=True
            )
        ]
        seeing, keys = _shifted_keys(sites, shift)
        rows = sites.find(keys)
        found = rows >= 0
        if bool(found.any()):
            before.append((number, rows[found], seeing[found]))
    after = [
        (len(taps) - 1 - number, target, source) for number, source, target in reversed(before)
    ]
    every: list[tuple[int, Tensor | None, Tensor | None]] = [*before, (centre, None, None), *after]
    return Pairs(
        output_count=sites.count,
        offsets=[number for number, _, _ in every],
        inputs=[source for _, source, _ in every],
        targets=[target for _, _, target in every],
    )


def _shifted_keys(sites: Sites, shift: list[int]) -> tuple[Tensor, Tensor]:
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


def _full_pairs(sites: Sites, window: Window) -> tuple[Pairs, Sites]:
    """Push every site through every offset; what is hit becomes an output site."""
    output_grid = window.output_grid(sites.grid_size)
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
        targets_flat = index[hit].long()
    else:
        keys, targets_flat = hit.unique(return_inverse=True)
    outputs = Sites(coordinates_of(keys, output_grid), sites.batch_size, output_grid)
    outputs._keys = keys  # noqa: SLF001
    offsets: list[int] = []
    inputs: list[Tensor | None] = []
    targets: list[Tensor | None] = []
    for number, (rows, target) in enumerate(
        zip(rows_of, targets_flat.split([len(keys) for keys in keys_of]), strict=True)
    ):
        if len(rows):
            offsets.append(number)
            inputs.append(rows)
            targets.append(target)
    return Pairs(outputs.count, offsets, inputs, targets), outputs


def _pushed_keys(
    sites: Sites, window: Window, tap: Axes, output_grid: Axes
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


def _inside(outputs: Sites, window: Window, grid_size: Axes, count: int) -> Tensor:
    """Table `[K, M]` with `count` where a window's site lies on the grid, else `count + 1`."""
    device = outputs.coordinates.device
    columns = []
    for tap in window.offsets():
        on_grid = torch.ones(outputs.count, dtype=torch.bool, device=device)
        for axis, size in enumerate(grid_size):
            site = outputs.coordinates[:, axis + 1] * window.stride[axis] + (
                tap[axis] * window.dilation[axis] - window.padding[axis]
            )
            on_grid &= (site >= 0) & (site < size)
        columns.append(torch.where(on_grid, count, count + 1))
    return torch.stack(columns)
