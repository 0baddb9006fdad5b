"""MNIST as the papers feed it to networks: ink on a larger field, shifted; or some pixels only."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bench.batch import SparseBatch
from bench.errors import UserError
from bench.training.experiment import Samples
from bench.window import Axes
from suites.accuracy.rows import rows_of
from suites.data import digits, mnist
from suites.data.images import LabelledImages


@dataclass(frozen=True)
class _DigitsOnField(ABC):
    """Digits in the middle of a larger field, active where there is ink: how dark, up to 1.

    Attributes:
        grid: pixels along each side of the field.
        shift: pixels that a training image is shifted by at most, along each axis.
        every: only every so-manieth sample, in training and in testing: 1 for all.
    """

    grid: int
    shift: int = 0
    every: int = 1
    version: ClassVar[int] = 1
    classes: ClassVar[int] = 10
    channels: ClassVar[int] = 1

    @property
    def grid_size(self) -> Axes:
        """A square field."""
        return (self.grid, self.grid)

    def load(self, *, train: bool, skip_broken: bool = False) -> Samples:
        """Load images; none can be skipped, as all lie in one file."""
        del skip_broken
        images = _thinned(self.images(train=train), self.every)
        return _Ink(images, self.grid, self.shift if train else 0)

    @abstractmethod
    def images(self, *, train: bool) -> LabelledImages:
        """Load the images of one part."""


class InkDigits(_DigitsOnField):
    """MNIST."""

    def images(self, *, train: bool) -> LabelledImages:
        """Load them from the data folder."""
        return mnist.load(train=train)


class BundledDigits(_DigitsOnField):
    """The 8x8 digits that scikit-learn brings along: nothing to download."""

    def images(self, *, train: bool) -> LabelledImages:
        """Load them from scikit-learn."""
        return digits.load(train=train)


@dataclass(frozen=True)
class KeptDigits:
    """MNIST of which a share of the pixels is unknown, ink or not (Uhrig et al. 2017, section 5).

    Which pixels are dropped is drawn anew for every training image in every epoch, and once and for
    all for every test image.

    Attributes:
        sparsity: share of the pixels that is dropped.
        every: only every so-manieth sample, in training and in testing: 1 for all.
    """

    sparsity: float
    every: int = 1
    version: ClassVar[int] = 1
    classes: ClassVar[int] = mnist.CLASSES
    channels: ClassVar[int] = 1
    grid_size: ClassVar[Axes] = (28, 28)

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise UserError(f"sparsity {self.sparsity} is not in [0, 1)")

    def load(self, *, train: bool, skip_broken: bool = False) -> Samples:
        """Load images; a broken file cannot be skipped, as all images lie in it."""
        del skip_broken
        images = _thinned(mnist.load(train=train), self.every)
        return KeptPixels(images.images[..., None], images.labels, images.brightest, self.sparsity)


class KeptPixels(Samples):
    """Pictures of which random pixels are known, equally many of each.

    Args:
        pictures: uint8 `[N, H, W, C]`.
        labels: int64 `[N]`.
        brightest: the value that becomes 1.
        sparsity: share of the pixels that is dropped.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64],
        brightest: int,
        sparsity: float,
    ) -> None:
        self.pictures = pictures
        self.labels = labels
        self.brightest = np.float32(brightest)
        self.grid_size = tuple(pictures.shape[1:3])
        self.kept = round((1 - sparsity) * math.prod(self.grid_size))

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw a number for each pixel: those with the smallest are kept."""
        return generator.random((count, math.prod(self.grid_size)), dtype=np.float32)

    def batch(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> SparseBatch:
        """Keep pixels."""
        pixels = math.prod(self.grid_size)
        smallest = np.argpartition(drawn[:, :pixels], self.kept - 1, axis=1)[:, : self.kept]
        kept = np.sort(smallest, axis=1)
        whole = self.whole(indices, drawn[:, pixels:])
        pictures = whole.reshape(len(indices), pixels, whole.shape[-1])
        features = np.take_along_axis(pictures, kept[..., None], axis=1) / self.brightest
        width = self.grid_size[1]
        numbers = np.broadcast_to(np.arange(len(indices))[:, None], kept.shape)
        coordinates = np.stack([numbers, kept // width, kept % width], axis=-1)
        return SparseBatch(
            torch.from_numpy(coordinates.reshape(-1, 3).astype(np.int32)),
            torch.from_numpy(features.reshape(-1, features.shape[-1])),
            len(indices),
            self.grid_size,
        )

    def whole(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Take pictures `[B, H, W, C]` before pixels are dropped.

        Args:
            indices: which.
            drawn: what was drawn for them besides numbers of pixels: nothing here.
        """
        del drawn
        return self.pictures[indices]


class _Ink(Samples):
    """Ink of images, as rows that are only shifted for a batch."""

    def __init__(self, images: LabelledImages, grid: int, shift: int) -> None:
        self.labels = images.labels
        self.grid = grid
        self.shift = shift
        margin = (grid - images.images.shape[-1]) // 2
        if margin < 0:
            raise UserError(
                f"images of {images.images.shape[-1]} pixels do not fit on a grid of {grid}"
            )
        numbers, rows, columns = images.images.nonzero()
        self.sites = np.stack([rows + margin, columns + margin], axis=1).astype(np.int32)
        values = images.images[numbers, rows, columns].astype(np.float32)
        self.features = (values / images.brightest)[:, None]
        self.ends = np.cumsum(np.bincount(numbers, minlength=len(images.images)))

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw shifts along both axes."""
        whole = generator.integers(-self.shift, self.shift, (count, 2), endpoint=True)
        return whole.astype(np.float32)

    def batch(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> SparseBatch:
        """Shift the ink; what leaves the field is cut off."""
        rows, numbers = rows_of(self.ends, indices)
        sites = self.sites[rows] + drawn.astype(np.int32)[numbers]
        features = self.features[rows]
        inside = ((sites >= 0) & (sites < self.grid)).all(1)
        if not inside.all():
            sites, features, numbers = sites[inside], features[inside], numbers[inside]
        coordinates = np.concatenate([numbers[:, None].astype(np.int32), sites], axis=1)
        return SparseBatch(
            torch.from_numpy(coordinates),
            torch.from_numpy(features),
            len(indices),
            (self.grid, self.grid),
        )


def _thinned(images: LabelledImages, every: int) -> LabelledImages:
    return LabelledImages(images.images[::every], images.labels[::every], images.brightest)
