"""Workload inputs made of real data: pen recordings, images, scanned scenes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bench.batch import SparseBatch, sparse_batch
from bench.errors import UserError
from bench.window import Axes
from suites.data import assamese, digits, mnist, pointclouds
from suites.data.draw import draw, voxels
from suites.data.images import LabelledImages

IMAGES = {"mnist": mnist.load, "digits": digits.load}


def check_images(source: str) -> None:
    """Refuse the name of images that there are not.

    Raises:
        UserError: naming those that there are.
    """
    if source not in IMAGES:
        raise UserError(f"unknown images {source!r}; known are {', '.join(IMAGES)}")


def first_images(source: str, count: int) -> LabelledImages:
    """Return the first images of a training set.

    Raises:
        UserError: if it has not so many.
    """
    found = IMAGES[source](train=True)
    if not 1 <= count <= len(found.images):
        raise UserError(f"{source} has {len(found.images):,} images to train on, not {count}")
    return replace(found, images=found.images[:count])


@dataclass(frozen=True)
class PenRecordings:
    """Assamese characters, drawn one pixel wide in the middle of the grid.

    Attributes:
        grid: pixels along each side of the field.
        scale: pixels along the longer side of a character.
        batch_size: recordings, spread evenly over all 8,235.
    """

    grid: int
    scale: int
    batch_size: int
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw the recordings."""
        recordings = assamese.load()
        if not 1 <= self.batch_size <= len(recordings):
            raise UserError(f"there are {len(recordings):,} recordings, not {self.batch_size}")
        chosen = np.linspace(0, len(recordings) - 1, self.batch_size).astype(int)
        sites = [draw(recordings[index], self.scale, self.grid).sites for index in chosen]
        return _batch(sites, (self.grid, self.grid), channels, seed)


@dataclass(frozen=True)
class Images:
    """Grey images: a site is active where the ink is, centred on a larger field as Graham does.

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
        """Find the ink."""
        images = first_images(self.source, self.batch_size).images
        margin = (self.grid - np.array(images.shape[1:])) // 2
        if margin.min() < 0:
            raise UserError(f"images of {images.shape[1:]} do not fit on a grid of {self.grid}")
        sites = [np.argwhere(image) + margin for image in images]
        return _batch(sites, (self.grid, self.grid), channels, seed)


@dataclass(frozen=True)
class Scene:
    """One scanned scene in voxels, counted from its lowest corner; what leaves the grid is cut off."""

    name: str
    voxel_metres: float
    grid_size: Axes
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Gather the points into voxels."""
        depth, height, width = self.grid_size
        points = pointclouds.load(self.name).points
        sites = voxels(points, self.voxel_metres, (depth, height, width)).sites
        return _batch([sites], self.grid_size, channels, seed)


@dataclass(frozen=True)
class SpconvScene:
    """The 125,562 voxels on 80 x 1600 x 1600 that spconv is tested and benchmarked with."""

    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Load the voxels."""
        scene = pointclouds.spconv_voxels()
        return _batch([scene.coordinates[:, 1:]], scene.grid_size, channels, seed)


def _batch(
    samples: Sequence[NDArray[np.integer]], grid_size: Axes, channels: int, seed: int
) -> SparseBatch:
    """Put samples `[n, D]` together and give every site random features: layers in mid-network."""
    coordinates = np.concatenate(
        [
            np.concatenate([np.full((len(sites), 1), number), sites], axis=1)
            for number, sites in enumerate(samples)
        ]
    )
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((len(coordinates), channels), generator=generator)
    return sparse_batch(
        torch.from_numpy(coordinates.astype(np.int32)), features, len(samples), grid_size
    )
