"""Caltech-101 of which some pixels are known only (Uhrig et al. 2017, and its reproduction)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, UserError
from bench.training.experiment import Samples
from bench.window import Axes
from suites.accuracy.digits import KeptPixels
from suites.data import caltech
from suites.data.jpeg import decode

TESTED = 4
"""Every fourth photograph of a class, in the archive's order, is for testing."""
BRIGHTEST = 255
NAMED = 5
"""Broken files that an error names."""


@dataclass(frozen=True)
class KeptPhotographs:
    """Photographs of 101 classes, stretched to a square; a share of their pixels is unknown.

    Three channels, from 0 to 1. Which pixels are dropped is drawn anew for every training photograph
    in every epoch, and once and for all for every test photograph.

    Attributes:
        grid: pixels along each side.
        sparsity: share of the pixels that is dropped.
        shift: pixels that a training photograph is shifted by at most, along each axis; its border
            is repeated.
        mirrored: training photographs are mirrored, left to right, as often as not.
    """

    grid: int
    sparsity: float
    shift: int = 0
    mirrored: bool = False
    version: ClassVar[int] = 1
    classes: ClassVar[int] = 101
    channels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise UserError(f"sparsity {self.sparsity} is not in [0, 1)")

    @property
    def grid_size(self) -> Axes:
        """A square."""
        return (self.grid, self.grid)

    def load(self, *, train: bool, skip_broken: bool = False) -> Samples:
        """Decode photographs, once for all sparsities.

        Raises:
            DataError: if the archive is missing, or photographs in it cannot be decoded; it counts
                and names them.
        """
        pictures, labels, left_out = _part(self.grid, train=train, skip_broken=skip_broken)
        samples = (
            _MovedPhotographs(pictures, labels, self)
            if train
            else KeptPixels(pictures, labels, BRIGHTEST, self.sparsity)
        )
        samples.left_out = left_out
        return samples


class _MovedPhotographs(KeptPixels):
    """Photographs that are mirrored and shifted before pixels are dropped."""

    def __init__(
        self, pictures: NDArray[np.uint8], labels: NDArray[np.int64], source: KeptPhotographs
    ) -> None:
        super().__init__(pictures, labels, BRIGHTEST, source.sparsity)
        self.shift = source.shift
        self.mirrored = source.mirrored

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw a number for each pixel, shifts along both axes, and 1 where mirrored."""
        pixels = super().draw(count, generator)
        shifts = generator.integers(-self.shift, self.shift, (count, 2), endpoint=True)
        mirrors = generator.integers(2, size=(count, 1)) * self.mirrored
        return np.concatenate([pixels, shifts, mirrors], axis=1, dtype=np.float32)

    def whole(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Move photographs."""
        down, across, mirrors = drawn.astype(np.int64).T
        height, width = self.grid_size
        rows = np.clip(np.arange(height) - down[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) - across[:, None], 0, width - 1)
        columns = np.where(mirrors[:, None] == 1, width - 1 - columns, columns)
        places = (indices[:, None, None], rows[:, :, None], columns[:, None, :])
        moved: NDArray[np.uint8] = self.pictures[places]
        return moved


@lru_cache(maxsize=2)
def _part(
    grid: int, *, train: bool, skip_broken: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Decode one part: uint8 `[N, H, W, 3]`, classes, int64 `[N]`, and names of what is left out."""
    pictures, categories, broken = [], [], []
    seen: dict[str, int] = {}
    for photograph in caltech.photographs(as_published=not skip_broken):
        number = seen[photograph.category] = seen.get(photograph.category, -1) + 1
        if (number % TESTED == 0) == train:
            continue
        try:
            pixels = decode(photograph.jpeg, (grid, grid), photograph.name, reduced=True)
        except DataError:
            broken.append(photograph.name)
        else:
            pictures.append(pixels)
            categories.append(photograph.category)
    if broken and not (skip_broken and pictures):
        named = ", ".join(broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
        hint = "none is left" if skip_broken else "--skip-broken leaves them out"
        raise DataError(
            f"caltech101: {len(broken):,} photographs cannot be decoded: {named}; {hint}"
        )
    numbers = {category: number for number, category in enumerate(sorted(seen))}
    labels = np.array([numbers[category] for category in categories], dtype=np.int64)
    return np.stack(pictures), labels, tuple(broken)


def forget() -> None:
    """Let go of decoded photographs, and read the archive anew next time."""
    _part.cache_clear()
