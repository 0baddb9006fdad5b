"""Where MinkowskiEngine must find sites so that its kernels are torch's windows.

It centres odd kernels on the output point, lets even ones start at it, and counts offsets in steps of
the input's lattice; where a lattice begins is all the same to it. So with the right shift for every
layer each window of torch's is one of its own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.batch import coordinates_of, linear_keys
from bench.window import Axes, Window

SITES_PER_KEY = 32
"""Up to this many sites of the grid for each key, marking them costs less than sorting the keys."""


@dataclass(frozen=True)
class Lattice:
    """Site u of the grid is stored at `step * u + shift`, along each axis."""

    step: Axes
    shift: Axes

    def after(self, window: Window) -> "Lattice":
        """Where the output sites of a window must be stored."""
        shift = []
        for axis, size in enumerate(window.kernel_size):
            centre = size // 2 if size % 2 else 0
            corner = centre * window.dilation[axis] - window.padding[axis]
            shift.append(self.shift[axis] + self.step[axis] * corner)
        step = [step * stride for step, stride in zip(self.step, window.stride, strict=True)]
        return Lattice(tuple(step), tuple(shift))

    def tiles(self, window: Window, grid_size: Axes) -> bool:
        """Whether rounding stored coordinates down to the window's stride gives its output sites.

        An odd kernel's are stored in its middle.
        """
        axes = zip(grid_size, window.stride, self.step, self.shift, strict=True)
        return (
            window.kernel_size == window.stride
            and all(size == 1 or size % 2 == 0 for size in window.kernel_size)
            and not any(window.padding)
            and set(window.dilation) == {1}
            and all(
                size % stride == 0 and shift % (step * stride) == 0
                for size, stride, step, shift in axes
            )
        )

    def store(self, coordinates: Tensor) -> Tensor:
        """Grid coordinates, int32 `[N, 1 + D]`, to stored ones."""
        if set(self.step) == {1} and not any(self.shift):
            return coordinates.contiguous()
        step, shift = self._rows(coordinates.device)
        return (coordinates * step + shift).contiguous()

    def restore(self, stored: Tensor) -> Tensor:
        """Undo `store`."""
        step, shift = self._rows(stored.device)
        return (stored - shift).div(step, rounding_mode="floor")

    def _rows(self, device: torch.device) -> tuple[Tensor, Tensor]:
        step = torch.tensor((1, *self.step), dtype=torch.int32, device=device)
        shift = torch.tensor((0, *self.shift), dtype=torch.int32, device=device)
        return step, shift


def touched_sites(coordinates: Tensor, window: Window, batch_size: int, grid_size: Axes) -> Tensor:
    """Sites whose window touches one of the given: canonical, int32 `[M, 1 + D]`.

    Args:
        coordinates: int32 `[N, 1 + D]`.
        window: the geometry.
        batch_size: number of samples.
        grid_size: of the input.
    """
    sites = batch_size * math.prod(grid_size)
    if sites > SITES_PER_KEY * max(1, len(coordinates) * window.volume):
        return _touched_by_sorting(coordinates, window, grid_size)
    marked = torch.zeros(sites, dtype=torch.bool, device=coordinates.device)
    marked.index_fill_(0, linear_keys(coordinates, grid_size), 1)
    return _spread(marked.view(batch_size, *grid_size), window).nonzero().int().contiguous()


def _spread(marked: Tensor, window: Window) -> Tensor:
    """Mark what a window sees marked, axis by axis: bool `[B, *grid]` to `[B, *output grid]`."""
    for axis, size in enumerate(window.output_grid(tuple(marked.shape[1:])), start=1):
        step, padding = window.stride[axis - 1], window.padding[axis - 1]
        spread = marked.new_zeros((*marked.shape[:axis], size, *marked.shape[axis + 1 :]))
        for tap in range(window.kernel_size[axis - 1]):
            start = tap * window.dilation[axis - 1] - padding
            first = -(start // step) if start < 0 else 0
            last = min(size - 1, (marked.shape[axis] - 1 - start) // step)
            if first <= last:
                seen = marked.narrow(axis, first * step + start, (last - first) * step + 1)
                spread.narrow(axis, first, last - first + 1).logical_or_(
                    seen[(slice(None),) * axis + (slice(None, None, step),)]
                )
        marked = spread
    return marked


def _touched_by_sorting(coordinates: Tensor, window: Window, grid_size: Axes) -> Tensor:
    """The same for a grid too large to be marked."""
    output_grid = window.output_grid(grid_size)
    keys = coordinates[:, :1].T.long()
    outside = torch.zeros_like(keys, dtype=torch.bool)
    for axis, size in enumerate(output_grid):
        taps = torch.arange(window.kernel_size[axis], device=coordinates.device)[:, None]
        shifted = coordinates[:, axis + 1] + (window.padding[axis] - taps * window.dilation[axis])
        place = shifted.div(window.stride[axis], rounding_mode="floor")
        missed = (place < 0) | (place >= size) | (place * window.stride[axis] != shifted)
        keys = (keys[:, None] * size + place).flatten(0, 1)
        outside = (outside[:, None] | missed).flatten(0, 1)
    return coordinates_of(keys[~outside].unique(), output_grid)
