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
from impls.cuda.tiles import WEIGHT_GRADIENT, Family, Tile, choose_family

MOST_SHARES = 65535
"""Blocks along the grid's z axis."""


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
        """The narrowest tile that holds all channels."""
        tile = WEIGHT_GRADIENT[self.family].narrowest(self._channels)
        return Shape(self.family, tile, self.places.tuning.blocks_each)

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
        """Its kernel, and what adds up its shares."""
        self.places.compile(self._kernel(shape))
        self.places.compile(launching.add_shares(self.weight.dtype))

    def run(self, shape: Shape) -> Tensor:
        """Launch its kernel, and what adds up its shares."""
        weight, places = self.weight, self.places
        offsets, ins, outs = weight.shape
        blocks = self._blocks(shape)
        splits = blocks[2]
        gradient = torch.empty_like(weight)
        shares = weight.new_empty((splits, *weight.shape), dtype=sum_type(weight.dtype))
        parameters = structures.WeightGradient(
            pointer(self.features),
            pointer(self.upstream),
            pointer(self.scale),
            pointer(self.kernel_map.table),
            pointer(shares),
            pointer(gradient),
            self.kernel_map.outputs,
            offsets,
            ins,
            outs,
            splits,
        )
        places.launch(self._kernel(shape), blocks, parameters)
        places.launch(launching.add_shares(weight.dtype), (blocks_of(weight.numel()),), parameters)
        return gradient

    def allowed(self) -> Tensor:
        """Roundings of the sums of |x||y|."""
        absolute = replace(self, features=self.features.abs(), upstream=self.upstream.abs())
        magnitude = absolute.run(self.rule())
        rows = self.kernel_map.outputs
        return rounding(magnitude, rows, tensor_cores=self.family is Family.TENSOR_CORES)

    def _kernel(self, shape: Shape) -> Kernel:
        tile = cast("Tile", shape.tile)
        return launching.weight_gradient(shape.family, self.weight.dtype, tile)

    def _blocks(self, shape: Shape) -> tuple[int, int, int]:
        """Tiles of the channels, offsets, and splits of the rows, so that enough blocks have work."""
        tile = cast("Tile", shape.tile)
        offsets, ins, outs = self.weight.shape
        tiles = math.ceil(ins / tile.rows) * math.ceil(outs / tile.columns)
        wanted = math.ceil(busy_blocks(self.places, shape.blocks_each) / (tiles * offsets))
        most = math.ceil(self.kernel_map.outputs / self.places.tuning.share_rows)
        return tiles, offsets, max(1, min(wanted, most, MOST_SHARES))

    @property
    def _channels(self) -> int:
        return max(self.weight.shape[1:])

    @cached_property
    def family(self) -> Family:
        """Of its kernel."""
        _, ins, outs = self.weight.shape
        return choose_family(
            (self.features, ins),
            (self.upstream, outs),
            scale=self.scale,
            tensor_cores=self.tensor_cores,
            least_channels=self.places.tuning.tensor_core_channels,
        )
