"""Active sites, and what spconv's kernel maps of them have in common."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bench.batch import linear_keys
from bench.window import Axes, Window
from impls.full_windows import full_windows


class Sites:
    """Active sites in the order of the rows, with the kernel maps that were built for them."""

    def __init__(
        self, indices: Tensor, batch_size: int, grid_size: Axes, *, canonical: bool
    ) -> None:
        # What is not contiguous spconv reads as if it were.
        self.indices = indices.contiguous()
        self.batch_size = batch_size
        self.grid_size = grid_size
        self.canonical = canonical
        # No entry refers back to these sites: a cycle would outlive them until the next collection.
        self.maps: dict[tuple[Window, bool, bool], KernelMap] = {}

    @property
    def count(self) -> int:
        """Number of active sites."""
        return len(self.indices)

    @property
    def keys(self) -> Tensor:
        """Sites numbered in lexicographic order, in the order of the rows: int64 `[N]`."""
        return linear_keys(self.indices, self.grid_size)

    def after(self, window: Window, indices: Tensor | None = None) -> "Sites":
        """Sites of a window's output grid; none, unless they are given."""
        if indices is None:
            indices = self.indices[:0]
        grid_size = window.output_grid(self.grid_size)
        return Sites(indices, self.batch_size, grid_size, canonical=False)


class KernelMap(ABC):
    """The pairs of one window on given sites, and what is derived from them once.

    Attributes:
        outputs: output sites; of a submanifold map a copy of the input's, which no layer hands on.
    """

    def __init__(self, sites: Sites, window: Window, outputs: Tensor) -> None:
        self.window = window
        self.grid_size = sites.grid_size
        self.input_count = sites.count
        self.outputs = sites.after(window, outputs)
        self._active: Tensor | None = None
        self._full: tuple[Tensor, Tensor] | None = None
        self._rows: dict[Sites, Tensor] = {}

    @abstractmethod
    def convolve(self, features: Tensor, weight: Tensor) -> Tensor:
        """Sum over the pairs of each output row: `[M, C_out]`; weight `[C_out, *kernel, C_in]`."""

    @abstractmethod
    def convolve_back(self, features: Tensor, weight: Tensor) -> Tensor:
        """The same from output rows to input rows: `[N, C_out]`."""

    @abstractmethod
    def pool(self, features: Tensor) -> Tensor:
        """The larger of 0 and the largest active site of each window: `[M, C]`."""

    @abstractmethod
    def count_active(self) -> Tensor:
        """Number of active sites under the kernel of each output row: int64 `[M]`."""

    @abstractmethod
    def table(self) -> Tensor:
        """Input row that each output row sees through each offset, or -1: int64 `[K, M]`."""

    @property
    def active(self) -> Tensor:
        """`count_active`, counted once."""
        if self._active is None:
            self._active = self.count_active()
        return self._active

    def full_windows(self) -> tuple[Tensor, Tensor]:
        """Windows without an inactive site: their output rows `[F]`, and input rows `[K, F]`."""
        if self._full is None:
            full = full_windows(self.active, self.outputs.indices, self.window, self.grid_size)
            rows = full.nonzero().squeeze(1)
            if len(rows):
                seen = self.table()[:, rows]
                # Beyond the grid is no row to read; one that is read already changes no maximum.
                self._full = rows, torch.where(seen >= 0, seen, seen.amax(0))
            else:
                self._full = rows, rows
        return self._full

    def rows_of(self, source: Sites) -> Tensor | None:
        """Row of `source` at each output site, int64 `[M]`, its count where it has none.

        None where `source` are the output sites themselves.
        """
        outputs = self.outputs
        if source is outputs:
            return None
        if source not in self._rows:
            keys, order = source.keys.sort()
            place = torch.searchsorted(keys, outputs.keys).clamp_(max=len(keys) - 1)
            found = keys[place] == outputs.keys
            self._rows[source] = torch.where(found, order[place], source.count)
        return self._rows[source]
