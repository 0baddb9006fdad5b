"""Sparsity patterns that need no data: seeded, exact in their density, drawn at any size."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch, coordinates_of, sparse_batch
from bench.errors import UserError
from bench.window import Axes

STROKES_PER_CHARACTER = 3
POINTS_PER_PIXEL = 8
MOST_SCALE = 4096
"""Of strokes, in pixels: beyond it their points lie apart."""

MOST_SHUFFLED = 2**24
MOST_REDRAWN = 0.5
"""Sites of a grid of up to so many are drawn by shuffling them all, which takes 0.4 s for as many; on
larger grids one by one, unless more than this share of them is drawn."""


@dataclass(frozen=True)
class Uniform:
    """Every site equally likely; each sample has exactly `density` of its sites active."""

    grid_size: Axes
    batch_size: int
    density: float
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw sites and features."""
        _check_positive(batch_size=self.batch_size)
        generator = _generator(seed)
        count = _count(self.density, self.grid_size)
        size = math.prod(self.grid_size)
        chosen = [_drawn(count, size, generator) for _ in range(self.batch_size)]
        return _batch(chosen, self.grid_size, channels, generator)


def _drawn(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw so many different keys below `size`, each set of them equally likely, in any order."""
    if size <= MOST_SHUFFLED or count > MOST_REDRAWN * size:
        return torch.randperm(size, generator=generator)[:count]
    keys = torch.empty(0, dtype=torch.int64)
    while len(keys) < count:  # whoever was drawn twice is drawn anew
        more = torch.randint(size, (count,), generator=generator)
        keys = torch.cat([keys, more]).unique()
    return keys[torch.randperm(len(keys), generator=generator)[:count]]


@dataclass(frozen=True)
class Blobs:
    """Clustered sites: the highest part of smooth noise, as in segmented objects or depth maps."""

    grid_size: Axes
    batch_size: int
    density: float
    coarseness: int = 8
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_positive(coarseness=self.coarseness)
        if len(self.grid_size) not in {2, 3}:
            raise UserError(f"blobs are drawn in 2D and 3D, not on a grid of {self.grid_size}")

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw sites and features."""
        _check_positive(batch_size=self.batch_size)
        generator = _generator(seed)
        count = _count(self.density, self.grid_size)
        coarse = [max(2, size // self.coarseness) for size in self.grid_size]
        noise = torch.rand((self.batch_size, 1, *coarse), generator=generator)
        mode = {2: "bilinear", 3: "trilinear"}[len(self.grid_size)]
        smooth = F.interpolate(noise, self.grid_size, mode=mode, align_corners=False)
        chosen = [sample.flatten().topk(count).indices for sample in smooth]
        return _batch(chosen, self.grid_size, channels, generator)


@dataclass(frozen=True)
class PenStrokes:
    """Handwriting-like curves one pixel wide: the same seeded drawing at whatever scale.

    Attributes:
        scale: height of a character in pixels; the sites of a drawing grow linearly with it.
        characters: how many are drawn on the field, at random places.
    """

    grid_size: Axes
    batch_size: int
    scale: int
    characters: int = 1
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if len(self.grid_size) != 2:
            raise UserError(f"pen strokes are drawn in 2D, not on a grid of {self.grid_size}")
        _check_positive(scale=self.scale, characters=self.characters)
        if self.scale > MOST_SCALE:
            raise UserError(f"scale {self.scale} is beyond {MOST_SCALE}, where strokes have gaps")
        if self.scale > min(self.grid_size):
            raise UserError(f"scale {self.scale} does not fit on a grid of {self.grid_size}")

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw sites and features."""
        _check_positive(batch_size=self.batch_size)
        generator = _generator(seed)
        room = torch.tensor(self.grid_size) - self.scale
        chosen = []
        for _ in range(self.batch_size):
            sites = []
            for _ in range(self.characters):
                drawing = character(generator) * (self.scale - 1)
                place = torch.rand(2, generator=generator) * room
                if self.characters == 1:
                    place = room / 2
                sites.append((drawing + place).round().long())
            rows, columns = torch.cat(sites).unbind(1)
            chosen.append((rows * self.grid_size[1] + columns).unique())
        return _batch(chosen, self.grid_size, channels, generator)


@dataclass(frozen=True)
class Shell:
    """The surface of a bumpy ball, one site thick: what a scanner sees of an object in 3D."""

    grid_size: Axes
    batch_size: int
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if len(self.grid_size) != 3:
            raise UserError(f"a shell is drawn in 3D, not on a grid of {self.grid_size}")

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw sites and features."""
        _check_positive(batch_size=self.batch_size)
        generator = _generator(seed)
        axes = [torch.arange(size) - (size - 1) / 2 for size in self.grid_size]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        distance = place.square().sum(0).sqrt()
        direction = place / distance.clamp(min=1)
        chosen = []
        for _ in range(self.batch_size):
            waves = torch.randn((3, 3), generator=generator) * 3
            phases = torch.rand(3, generator=generator) * 2 * math.pi
            bumps = torch.cos(torch.tensordot(waves, direction, 1) + phases.view(3, 1, 1, 1)).sum(0)
            radius = min(self.grid_size) * (0.38 + 0.03 * bumps)
            chosen.append(((distance - radius).abs() < 0.5).flatten().nonzero().squeeze(1))
        return _batch(chosen, self.grid_size, channels, generator)


def character(generator: torch.Generator) -> Tensor:
    """Draw a few Bezier strokes: points `[P, 2]` in the unit square, in the pen's order.

    They lie densely enough for scales up to `MOST_SCALE`.
    """
    steps = torch.linspace(0, 1, POINTS_PER_PIXEL * 1024)[:, None]
    strokes = []
    for _ in range(STROKES_PER_CHARACTER):
        corners = torch.rand((4, 2), generator=generator)
        weights = torch.cat(
            [
                (1 - steps) ** 3,
                3 * (1 - steps) ** 2 * steps,
                3 * (1 - steps) * steps**2,
                steps**3,
            ],
            1,
        )
        strokes.append(weights @ corners)
    return torch.cat(strokes)


def _check_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise UserError(f"{name.replace('_', ' ')} {value} must be positive")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _count(density: float, grid_size: Axes) -> int:
    if not 0 <= density <= 1:
        raise UserError(f"density {density} is not between 0 and 1")
    return round(density * math.prod(grid_size))


def _batch(
    chosen: list[Tensor], grid_size: Axes, channels: int, generator: torch.Generator
) -> SparseBatch:
    """Number the samples' sites through and give each of them random features."""
    size = math.prod(grid_size)
    keys = torch.cat([sites.sort().values + size * n for n, sites in enumerate(chosen)])
    features = torch.randn((len(keys), channels), generator=generator)
    return sparse_batch(coordinates_of(keys, grid_size), features, len(chosen), grid_size)
