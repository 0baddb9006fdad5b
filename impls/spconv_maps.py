"""Active sites, and what spconv's kernel maps of them have in common."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench.batch import linear_keys
from bench.window import Axes, Window
from impls.full_windows import full_windows


def with_bias(sums: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias `[C_out]` to sums `[M, C_out]` in place, where there is one."""
    if bias is not None:
        sums += bias
    return sums


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
        self._pairs: list[tuple[Tensor, Tensor]] | None = None
        self._full: Tensor | None = None
        self._rows: dict[Sites, Tensor] = {}

    @abstractmethod
    def convolve(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Sum over the pairs of each output row: `[M, C_out]`; weight `[C_out, *kernel, C_in]`."""

    @abstractmethod
    def convolve_back(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The same from output rows to input rows: `[N, C_out]`."""

    @abstractmethod
    def maximum(self, features: Tensor) -> Tensor:
        """Dense max pooling at the output sites, without gradients: `[M, C]`."""

    @abstractmethod
    def count_active(self) -> Tensor:
        """Number of active sites under the kernel of each output row: int64 `[M]`."""

    @abstractmethod
    def find_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Input rows and output rows of each offset, in torch's order of taps: int64."""

    @property
    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """`find_pairs`, found once."""
        if self._pairs is None:
            self._pairs = self.find_pairs()
        return self._pairs

    def pool(self, features: Tensor) -> Tensor:
        """Dense max pooling at the output sites: `[M, C]`."""
        pooled: Tensor = _MaxPooling.apply(features, self)  # type: ignore[no-untyped-call]
        return pooled

    @property
    def active(self) -> Tensor:
        """`count_active`, counted once."""
        if self._active is None:
            self._active = self.count_active()
        return self._active

    @property
    def full(self) -> Tensor:
        """Output rows whose windows hold no inactive site, found once: int64 `[F]`."""
        if self._full is None:
            full = full_windows(
                self.active, lambda: self.outputs.indices, self.window, self.grid_size
            )
            self._full = full.nonzero().squeeze(1)
        return self._full

    def floor(self, features: Tensor, columns: int) -> Tensor:
        """What a maximum is at least: 0, or where no site is inactive, anything: `[M, columns]`."""
        least = features.new_zeros((self.outputs.count, columns))
        return least.index_fill_(0, self.full, -torch.inf) if len(self.full) else least

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


class _MaxPooling(torch.autograd.Function):
    """spconv's maximum, from another start than its 0; and the dense operator's gradient.

    spconv starts as if every window held an inactive site, and gives the gradient to every one of
    several equal values, where the dense operator gives it to the first.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, pairs: KernelMap) -> Tensor:  # noqa: ANN401
        pooled = pairs.maximum(features)
        ctx.save_for_backward(features, pooled)
        ctx.pairs = pairs
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        features, pooled = ctx.saved_tensors
        gradient = torch.zeros_like(features)
        left = upstream.clone(memory_format=torch.contiguous_format)
        for inputs, outputs in ctx.pairs.pairs:
            reached = features.index_select(0, inputs) == pooled.index_select(0, outputs)
            owed = left.index_select(0, outputs)
            gradient.index_add_(0, inputs, owed * reached)
            left.index_copy_(0, outputs, owed.masked_fill_(reached, 0))
        return gradient, None
