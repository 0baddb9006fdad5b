"""Gradient at a convolution's weights."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from impls.cuda import launching, structures
from impls.cuda.launching import Kernel
from impls.cuda.places import Places, blocks_of
from impls.cuda.products import busy_blocks, rounding, sum_type
from impls.cuda.shapes import MEASURED_BLOCKS_EACH, Launch, Problem, Shape
from impls.cuda.sites import KernelMap
from impls.cuda.structures import pointer
from impls.cuda.tiles import (
    COPIED_BYTES,
    WEIGHT_GRADIENT,
    Family,
    Tile,
    choose_family,
    copied_bytes,
)

MOST_BLOCKS = 65535
"""Along the grid's y axis."""
MOST_SUMS_EACH = 2**15
"""That a multiprocessor's blocks keep: half of its registers; it bounds the memory of shares."""
WIDE = 64
"""Channels of a tile; a wider one pays where both operands have more, and rows are many."""


def weight_gradient(
    features: Tensor,
    upstream: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    kernel_map: KernelMap,
    places: Places,
    *,
    tensor_cores: bool,
) -> Tensor:
    """Sum of `features[row seen]^T @ upstream[row]` for each offset: shares, added in a fixed order.

    Args:
        features: `[N, C_in]`, contiguous.
        upstream: `[M, C_out]`, contiguous.
        weight: `[K, C_in, C_out]`, whose gradient it is.
        scale: `[M]` that upstream rows are multiplied by, or None.
        kernel_map: of N input and M output rows.
        places: what launches, and how it is tuned.
        tensor_cores: whether they may compute it.
    """
    launch = GradientLaunch(features, upstream, weight, scale, kernel_map, places, tensor_cores)
    return launch.run(places.chooser.choose(launch))


@dataclass(frozen=True, eq=False)
class GradientLaunch(Launch):
    """What `weight_gradient` is given."""

    features: Tensor
    upstream: Tensor
    weight: Tensor
    scale: Tensor | None
    kernel_map: KernelMap
    places: Places
    tensor_cores: bool

    def problem(self) -> Problem:
        """One for each number of channels and offsets, and some numbers of rows."""
        offsets, ins, outs = self.weight.shape
        return Problem(
            "gradient at the weights",
            self.weight.dtype,
            self.family,
            ins,
            outs,
            offsets,
            self.kernel_map.outputs.bit_length(),
            self.weight.device,
        )

    def rule(self) -> Shape:
        """The narrowest tile that holds all channels; a wide one where it and the device are full."""
        tiles, each = WEIGHT_GRADIENT[self.family], self.places.tuning.blocks_each
        tile = tiles.narrowest(self._channels)
        is_filled = min(self.weight.shape[1:]) > WIDE
        if not is_filled or self._most_blocks < self._wanted_blocks(tile, each):
            tile = tiles.narrowest(min(self._channels, WIDE))
        return Shape(self.family, tile, each)

    def candidates(self) -> list[Shape]:
        """All tiles that are not too wide."""
        found = [
            Shape(self.family, tile, each)
            for tile in WEIGHT_GRADIENT[self.family].fitting(self._channels)
            for each in MEASURED_BLOCKS_EACH
        ]
        return [self.rule(), *found]

    def launched(self, shape: Shape) -> Hashable:
        """Tile and blocks."""
        return shape.tile, self._blocks(shape)

    def compile(self, shape: Shape) -> None:
        """Its kernel, what counts the pairs, and what adds up its shares."""
        self.places.compile(launching.COUNT_PAIRS)
        self.places.compile(self._kernel(shape))
        self.places.compile(launching.add_shares(self.weight.dtype))

    def run(self, shape: Shape) -> Tensor:
        """Launch its kernel, and what adds up its shares; pairs are counted before, once for a map."""
        weight, places = self.weight, self.places
        offsets, ins, outs = weight.shape
        blocks = self._blocks(shape)
        parts = blocks[1]
        gradient = torch.empty_like(weight)
        shares = weight.new_empty((parts + offsets - 1, ins, outs), dtype=sum_type(weight.dtype))
        parameters = structures.WeightGradient(
            pointer(self.features),
            pointer(self.upstream),
            pointer(self.scale),
            pointer(self.kernel_map.table),
            pointer(self.kernel_map.pairs_before),
            pointer(shares),
            pointer(gradient),
            self.kernel_map.outputs,
            offsets,
            ins,
            outs,
            parts,
        )
        places.launch(self._kernel(shape), blocks, parameters)
        shared = blocks_of(ins * outs), offsets
        places.launch(launching.add_shares(weight.dtype), shared, parameters)
        return gradient

    def allowed(self) -> Tensor:
        """Roundings of the sums of |x||y|."""
        absolute = replace(self, features=self.features.abs(), upstream=self.upstream.abs())
        magnitude = absolute.run(self.rule())
        rows = self.kernel_map.outputs
        return rounding(magnitude, rows, tensor_cores=self.family is Family.TENSOR_CORES)

    def _kernel(self, shape: Shape) -> Kernel:
        tile = cast("Tile", shape.tile)
        copied = copied_bytes(*self._operands) or COPIED_BYTES
        return launching.weight_gradient(shape.family, self.weight.dtype, tile, copied=copied)

    def _blocks(self, shape: Shape) -> tuple[int, int, int]:
        """Tiles of the channels, and parts of the pairs."""
        tile = cast("Tile", shape.tile)
        parts = min(self._wanted_blocks(tile, shape.blocks_each), self._most_blocks, MOST_BLOCKS)
        return self._tiles(tile), max(1, parts), 1

    def _tiles(self, tile: Tile) -> int:
        """Of the channels."""
        _, ins, outs = self.weight.shape
        return math.ceil(ins / tile.rows) * math.ceil(outs / tile.columns)

    def _wanted_blocks(self, tile: Tile, each: int) -> int:
        """For each tile of the channels, so that the device is busy.

        Not one more: they take equally long, so a few that wait for others' end would double the time.
        """
        each = min(each, MOST_SUMS_EACH // (tile.rows * tile.columns))
        return busy_blocks(self.places, each) // self._tiles(tile)

    @property
    def _most_blocks(self) -> int:
        """For each tile of the channels, so that all have enough to do."""
        rows = math.ceil(self.kernel_map.outputs / self.places.tuning.share_rows)
        return len(self.weight) * rows

    @property
    def _channels(self) -> int:
        return max(self.weight.shape[1:])

    @property
    def _operands(self) -> tuple[tuple[Tensor, int], tuple[Tensor, int]]:
        _, ins, outs = self.weight.shape
        return (self.features, ins), (self.upstream, outs)

    @cached_property
    def family(self) -> Family:
        """Of its kernel."""
        return choose_family(
            *self._operands,
            scale=self.scale,
            tensor_cores=self.tensor_cores,
            least_channels=self.places.tuning.tensor_core_channels,
        )
