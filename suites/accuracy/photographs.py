"""Caltech-101 of which some pixels are known only (Uhrig et al. 2017, and its reproduction)."""

import io
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
    """

    grid: int
    sparsity: float
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
        pictures, labels = _part(self.grid, train=train, skip_broken=skip_broken)
        return KeptPixels(pictures, labels, BRIGHTEST, self.sparsity)


@lru_cache(maxsize=2)
def _part(
    grid: int, *, train: bool, skip_broken: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Decode one part: uint8 `[N, H, W, 3]`, and classes, int64 `[N]`."""
    pictures, categories, broken = [], [], []
    seen: dict[str, int] = {}
    for photograph in caltech.photographs():
        number = seen[photograph.category] = seen.get(photograph.category, -1) + 1
        if (number % TESTED == 0) == train:
            continue
        try:
            pictures.append(_decoded(photograph.jpeg, grid))
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for broken files
            broken.append(photograph.name)
        else:
            categories.append(photograph.category)
    if broken and not skip_broken:
        named = ", ".join(broken[:NAMED]) + (", ..." if len(broken) > NAMED else "")
        raise DataError(
            f"caltech101: {len(broken):,} photographs cannot be decoded: {named}; --skip-broken "
            f"leaves them out"
        )
    numbers = {category: number for number, category in enumerate(sorted(seen))}
    labels = np.array([numbers[category] for category in categories], dtype=np.int64)
    return np.stack(pictures), labels


def forget() -> None:
    """Let go of decoded photographs, and read the archive anew next time."""
    _part.cache_clear()


def _decoded(jpeg: bytes, grid: int) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415

    with Image.open(io.BytesIO(jpeg)) as picture:
        # Decodes at a fraction of the size where that is still larger than what is asked for.
        picture.draft("RGB", (grid, grid))
        pixels = picture.convert("RGB").resize((grid, grid))
    return np.asarray(pixels, dtype=np.uint8)
