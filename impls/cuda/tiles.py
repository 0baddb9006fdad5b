"""Tiles of matrix products: which kernel computes by them, and which there are."""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

COPIED_BYTES = 16
"""That an asynchronous copy brings: a row of channels must be a multiple of it."""


class Family(StrEnum):
    """Kernels that compute the same."""

    FEW = "few channels"
    TILES = "tiles"
    COPIED = "copied tiles"
    TENSOR_CORES = "tensor cores"


TYPES = {
    Family.TILES: (torch.float32, torch.float64, torch.float16, torch.bfloat16),
    Family.COPIED: (torch.float32,),
    Family.TENSOR_CORES: (torch.float32, torch.float16, torch.bfloat16),
}
"""Of elements that each computes by tiles; tensor cores round float32 to tf32."""


@dataclass(frozen=True)
class Tile:
    """A block's share of a matrix product, and a thread's share of that.

    Attributes:
        rows: of the block's share.
        columns: of the block's share.
        rows_each: of a thread's share.
        columns_each: of a thread's share.
        stages: steps that lie in shared memory at a time, where asynchronous copies bring them.
    """

    rows: int
    columns: int
    rows_each: int
    columns_each: int
    stages: int = 1

    def __str__(self) -> str:
        """The block's share, as tables of choices name it."""
        return f"{self.rows}x{self.columns}"

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.rows // self.rows_each * (self.columns // self.columns_each)

    def count(self, rows: int, columns: int) -> int:
        """How many hold a product of so many rows and columns."""
        return math.ceil(rows / self.rows) * math.ceil(columns / self.columns)

    def reads(self, rows: int, columns: int) -> int:
        """Count rows of either operand that they read together for each step along the depth."""
        return self.count(rows, columns) * (self.rows + self.columns)

    @property
    def arguments(self) -> str:
        """Of the kernel's template."""
        return f"{self.rows}, {self.columns}, {self.rows_each}, {self.columns_each}"


@dataclass(frozen=True)
class Tiles:
    """What one kernel is compiled for.

    Attributes:
        by_rule: what the rules choose from, by rising number of columns.
        by_measuring: what only measuring chooses.
        of_many: what the rules choose where it leaves no multiprocessor without work.
    """

    by_rule: tuple[Tile, ...]
    by_measuring: tuple[Tile, ...] = ()
    of_many: tuple[Tile, ...] = ()

    @property
    def all(self) -> tuple[Tile, ...]:
        """Whoever chooses."""
        return self.by_rule + self.by_measuring + self.of_many

    def narrowest(self, channels: int) -> Tile:
        """Choose the rules' narrowest that holds so many channels, or their widest."""
        return next((tile for tile in self.by_rule if channels <= tile.columns), self.by_rule[-1])

    def choose(self, rows: int, channels: int, least: int) -> Tile:
        """Choose by the rules: of the narrowest and larger ones, the tile that reads least.

        Args:
            rows: of the product.
            channels: that it has as columns.
            least: number of larger tiles that keep the device busy; of fewer, none is chosen.
        """
        narrowest = self.narrowest(channels)
        enough = [tile for tile in self.of_many if tile.count(rows, channels) >= least]
        if not enough:  # as for all products that take the device less time than the host
            return narrowest
        fitting = self.fitting(channels)
        both = [narrowest, *(tile for tile in enough if tile in fitting)]
        return min(both, key=lambda tile: tile.reads(rows, channels))

    def fitting(self, channels: int) -> list[Tile]:
        """List those that are no wider than the narrowest that holds so many channels."""
        widest = max(tile.columns for tile in self.all)
        enough = min(
            (tile.columns for tile in self.all if tile.columns >= channels), default=widest
        )
        return [tile for tile in self.all if tile.columns <= enough]


CONVOLUTION = {
    Family.TILES: Tiles((Tile(64, 16, 4, 2), Tile(64, 64, 4, 4))),
    Family.COPIED: Tiles(
        (Tile(64, 16, 4, 4, 3), Tile(64, 32, 8, 4, 3), Tile(64, 64, 8, 8, 3)),
        (Tile(128, 64, 8, 8, 2), Tile(128, 128, 8, 8, 2)),
    ),
    Family.TENSOR_CORES: Tiles(
        (Tile(64, 32, 4, 4, 3), Tile(64, 64, 4, 8, 3)),
        of_many=(
            Tile(128, 64, 4, 16, 3),
            Tile(256, 64, 4, 16, 3),
            Tile(128, 128, 8, 16, 3),
            Tile(256, 128, 8, 16, 3),
        ),
    ),
}
"""Of output rows x output channels."""
WEIGHT_GRADIENT = {
    Family.TILES: Tiles((Tile(16, 16, 1, 1), Tile(64, 64, 4, 4)), (Tile(32, 32, 2, 2),)),
    Family.COPIED: Tiles(
        (Tile(32, 32, 4, 4, 3), Tile(64, 64, 8, 8, 3)), (Tile(128, 128, 8, 8, 2),)
    ),
    Family.TENSOR_CORES: Tiles(
        (Tile(32, 32, 4, 2, 3), Tile(64, 64, 8, 4, 3), Tile(128, 128, 16, 8, 2))
    ),
}
"""Of input x output channels."""


def choose_family(
    *operands: tuple[Tensor, int],
    scale: Tensor | None,
    tensor_cores: bool,
    least_channels: int,
) -> Family:
    """Choose what multiplies two operands by tiles.

    Args:
        operands: contiguous, and how many channels a row of each has.
        scale: that rows are multiplied by as they are read, or None; no copy can do that.
        tensor_cores: whether they may compute it.
        least_channels: from which on they do.
    """
    (first, ins), (second, outs) = operands
    if scale is not None or copied_bytes(*operands) is None:
        return Family.TILES
    if tensor_cores and min(ins, outs) >= least_channels:
        return Family.TENSOR_CORES
    is_copied = first.dtype in TYPES[Family.COPIED] and second.dtype in TYPES[Family.COPIED]
    return Family.COPIED if is_copied else Family.TILES


def copied_bytes(*operands: tuple[Tensor, int]) -> int | None:
    """How many bytes of rows an asynchronous copy may bring: 16, or two elements; None for no copy.

    A copy brings 4, 8 or 16 bytes, of which both addresses are multiples.
    """
    sizes = (COPIED_BYTES, 2 * operands[0][0].element_size())
    return next(
        (size for size in sizes if all(_are_multiples(*each, size) for each in operands)), None
    )


def _are_multiples(tensor: Tensor, channels: int, size: int) -> bool:
    """Whether rows are, and begin at such an address."""
    row_bytes = channels * tensor.element_size()
    return row_bytes % size == 0 and tensor.data_ptr() % size == 0
