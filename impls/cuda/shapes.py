"""What a product's launch can look like, and who chooses: the fixed rules, unless it was measured."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from impls.cuda.tiles import Family, Tile

MEASURED_BLOCKS_EACH = (1, 4, 8)
"""For how many blocks a multiprocessor work is split, where measuring chooses."""


@dataclass(frozen=True)
class Shape:
    """One way to launch a product.

    Attributes:
        family: of its kernel.
        tile: of a block; None where a block has no tile.
        blocks_each: blocks a multiprocessor that work is split for.
    """

    family: Family
    tile: Tile | None
    blocks_each: int

    def __str__(self) -> str:
        """Unlike that of any other shape of the same problem."""
        tile = "" if self.tile is None else f" {self.tile}"
        return f"{self.family}{tile}, {self.blocks_each} blocks each"


class Problem(NamedTuple):
    """What one choice is made for: coarse, so that few are measured.

    How many neighbours rows have is no part of it: to know that, a call would wait for the device.

    Attributes:
        product: what is computed, in words.
        dtype: of the operands.
        family: of the tiles that can compute it.
        offsets: K.
        row_bits: binary digits of the number of output rows.
        device: that it is computed on.
    """

    product: str
    dtype: torch.dtype
    family: Family
    in_channels: int
    out_channels: int
    offsets: int
    row_bits: int
    device: torch.device

    def __str__(self) -> str:
        """All but the device."""
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"{self.product}, {dtype} by {self.family}, {self.in_channels} to {self.out_channels} "
            f"channels, {self.offsets} offsets, fewer than 2^{self.row_bits} rows"
        )


class Launch(ABC):
    """A product that can be launched in several shapes."""

    @abstractmethod
    def problem(self) -> Problem:
        """Say what it is an instance of: instances of one problem have the same shapes."""

    @abstractmethod
    def rule(self) -> Shape:
        """Choose by the fixed rules."""

    @abstractmethod
    def candidates(self) -> list[Shape]:
        """List what may be chosen: the rules' choice, and what is the same for all of a problem."""

    @abstractmethod
    def launched(self, shape: Shape) -> Hashable:
        """Tell what a shape comes to here: two may differ in one instance and not in another."""

    def shapes(self) -> list[Shape]:
        """List the first candidate of those that launch the same."""
        first: dict[Hashable, Shape] = {}
        for shape in self.candidates():
            first.setdefault(self.launched(shape), shape)
        return list(first.values())

    @abstractmethod
    def compile(self, shape: Shape) -> None:
        """Have what it launches ready, which may take seconds."""

    @abstractmethod
    def run(self, shape: Shape) -> Tensor:
        """Launch it."""

    @abstractmethod
    def allowed(self) -> Tensor:
        """How far two shapes' results may lie apart, each element, by rounding alone."""


class Chooser:
    """Chooses a launch's shape: here by the fixed rules."""

    def choose(self, launch: Launch) -> Shape:
        """Choose what it is to be launched in."""
        return launch.rule()


BY_RULE = Chooser()
