"""Pictures and depth maps as the papers feed them to networks, with their own values as features."""

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch, from_dense
from bench.errors import UserError
from bench.window import Axes
from suites.data import caltech, jpeg
from suites.inputs import check_images, first_images
from suites.patterns import Uniform

COARSENESS = 16
NEAREST_METRES, FARTHEST_METRES = 1.0, 80.0


@dataclass(frozen=True)
class InkImages:
    """Images of digits in the middle of a larger field, active where there is ink: how dark, to 1.

    Attributes:
        source: `mnist`, or `digits`, which scikit-learn brings along.
        grid: pixels along each side of the field.
        batch_size: images, the first of the training set.
    """

    source: str
    grid: int
    batch_size: int
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_images(self.source)

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Find the ink; nothing is random, so that the seed has no say."""
        del seed
        _check_channels("digits", channels, 1)
        pictures = _digits(self.source, self.batch_size)
        margin = self.grid - pictures.shape[-1]
        if margin < 0:
            raise UserError(
                f"images of {pictures.shape[-1]} pixels do not fit on a grid of {self.grid}"
            )
        before = margin // 2
        field = F.pad(pictures, (before, margin - before) * 2)
        return from_dense(field, field > 0)


@dataclass(frozen=True)
class KeptDigits:
    """Images of digits of which only some pixels are known, with ink or without (Uhrig et al. 2017).

    Attributes:
        source: `mnist`, or `digits`, which scikit-learn brings along.
        batch_size: images, the first of the training set.
        density: share of the pixels that is kept, chosen at random.
    """

    source: str
    batch_size: int
    density: float
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_images(self.source)

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Drop pixels."""
        _check_channels("digits", channels, 1)
        return _kept(_digits(self.source, self.batch_size), self.density, seed)


@dataclass(frozen=True)
class KeptPhotographs:
    """Photographs of Caltech-101 of which only some pixels are known; three channels, from 0 to 1.

    Attributes:
        grid: pixels along each side, to which photographs are stretched.
        batch_size: photographs, the first of the archive.
        density: share of the pixels that is kept, chosen at random.
    """

    grid: int
    batch_size: int
    density: float
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Decode photographs and drop pixels."""
        _check_channels("photographs", channels, 3)
        pictures = []
        for photograph in islice(caltech.photographs(), self.batch_size):
            pixels = jpeg.decode(photograph.jpeg, (self.grid, self.grid), photograph.name)
            pictures.append(pixels.astype(np.float32) / 255)
        return _kept(torch.from_numpy(np.stack(pictures)).movedim(-1, 1), self.density, seed)


@dataclass(frozen=True)
class DepthMaps:
    """Smooth surfaces seen at random pixels only, as a LiDAR's depth in a camera's image, in metres.

    Attributes:
        grid_size: (H, W).
        batch_size: surfaces.
        density: share of the pixels that is known; about 0.05 in KITTI.
    """

    grid_size: Axes
    batch_size: int
    density: float
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Make surfaces and drop pixels."""
        _check_channels("depth maps", channels, 1)
        generator = torch.Generator().manual_seed(seed)
        coarse = [max(2, size // COARSENESS) for size in self.grid_size]
        noise = torch.rand((self.batch_size, 1, *coarse), generator=generator)
        smooth = F.interpolate(noise, self.grid_size, mode="bilinear", align_corners=False)
        surfaces = NEAREST_METRES + (FARTHEST_METRES - NEAREST_METRES) * smooth
        return _kept(surfaces, self.density, seed)


def _kept(pictures: Tensor, density: float, seed: int) -> SparseBatch:
    """Keep random pixels of pictures `[B, C, H, W]`, equally many of each."""
    pattern = Uniform(tuple(pictures.shape[2:]), len(pictures), density)
    return from_dense(pictures, pattern.batch(1, seed).mask())


def _digits(source: str, batch_size: int) -> Tensor:
    """The first images as float32 `[B, 1, H, W]`, from 0 to 1."""
    labelled = first_images(source, batch_size)
    return torch.from_numpy(labelled.images.copy())[:, None].float() / labelled.brightest


def _check_channels(what: str, channels: int, expected: int) -> None:
    if channels != expected:
        raise UserError(f"{what} have {expected} channel{'s' * (expected > 1)}, not {channels}")
