"""Active sites with the kernel maps that were built for them."""

import torch
from torch import Tensor

from bench.batch import linear_keys
from bench.window import Axes, Window
from impls.gather import compiled, torch_map
from impls.gather.compiled import Layout
from impls.gather.pairs import Pairs, Windows


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
        self._windows: dict[Window, Windows | Tensor] = {}

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
        size = torch_map.grid_sites(self.batch_size, self.grid_size)
        if torch_map.grid_is_affordable(size, self.count):
            if self._index is None:
                self._index = torch.full((size,), -1, dtype=torch.int32, device=keys.device)
                rows = torch.arange(self.count, dtype=torch.int32, device=keys.device)
                self._index[self.keys] = rows
            return self._index[keys].long()
        place = torch.searchsorted(self.keys, keys).clamp_(max=self.count - 1)
        return torch.where(self.keys[place] == keys, place, -1)

    def kernel_map(self, window: Window, *, submanifold: bool) -> "tuple[Pairs, Sites]":
        """Kernel map and output sites of a convolution, built once."""
        if submanifold or window.keeps_sites:
            pairs = self._submanifold.get(window)
            if pairs is None:
                pairs = self._submanifold[window] = _submanifold_pairs(self, window)
            return pairs, self
        built = self._full.get(window)
        if built is None:
            built = self._full[window] = _full_pairs(self, window)
        return built

    def windows(self, window: Window) -> "tuple[Windows | Tensor, Sites]":
        """What a max pooling's output sites see, built once, and these sites.

        Where loops are not compiled it is a table, see `impls.gather.torch_map.window_table`.
        """
        pairs, outputs = self.kernel_map(window, submanifold=False)
        if window not in self._windows:
            self._windows[window] = (
                compiled.windows(pairs, self, window, outputs.coordinates)
                if compiled.usable(self.coordinates)
                else torch_map.window_table(
                    pairs, outputs.coordinates, self.grid_size, window, self.count
                )
            )
        return self._windows[window], outputs


def turned_round(pairs: Pairs, coarse: Sites, source: Sites, target: Sites) -> Pairs:
    """Turn a map from target to coarse sites round, where `source` holds the coarse sites' values.

    Where `source` has other sites than the map leads to, pairs without a value are left out.
    """
    turned = pairs.turned_round(target.count)
    if source is coarse or torch.equal(source.keys, coarse.keys):
        return turned
    return torch_map.with_inputs_at(turned, source.find(coarse.keys))


def _submanifold_pairs(sites: Sites, window: Window) -> Pairs:
    layout = compiled.submanifold_layout(sites, window)
    if layout is not Layout.NONE:
        return compiled.submanifold_pairs(sites, window, folds=layout is Layout.FOLDED)
    return torch_map.submanifold_pairs(sites, window)


def _full_pairs(sites: Sites, window: Window) -> tuple[Pairs, Sites]:
    output_grid = window.output_grid(sites.grid_size)
    layout = compiled.layout(sites, output_grid, window)
    if layout is not Layout.NONE:
        folds = layout is Layout.FOLDED
        pairs, coordinates = compiled.full_pairs(sites, window, output_grid, folds=folds)
    else:
        pairs, coordinates = torch_map.full_pairs(sites, window, output_grid)
    return pairs, Sites(coordinates, sites.batch_size, output_grid)
