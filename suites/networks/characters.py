"""Handwriting as the papers feed it to networks: in 2D, and in 3D with time as the third axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bench.batch import SparseBatch, coordinates_of, linear_keys, sparse_batch
from bench.errors import UserError
from bench.window import Axes
from suites.data import assamese
from suites.data.draw import Drawing, placed, strokes_on_grid
from suites.data.recording import Recording
from suites.patterns import character

STEP_VOXELS = 0.5


@dataclass(frozen=True)
class AssameseCharacters:
    """Assamese characters drawn one pixel wide; the same places on a field of any size.

    One channel is 1 wherever there is ink, as Graham (2014) has it. Three are the pen's unit direction
    (dx, dy) where it first entered the site, and 1.

    Attributes:
        grid: pixels along each side of the field.
        scale: pixels along the longer side of a character.
        batch_size: samples; their recordings are spread evenly over all 8,235.
        characters: how many are drawn on each field: one in the middle, more at random places.
    """

    grid: int
    scale: int
    batch_size: int
    characters: int = 1
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= self.grid:
            raise UserError(f"scale {self.scale} does not fit on a grid of {self.grid}")

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw the recordings."""
        _check_channels(channels, 1, 3)
        recordings = assamese.load()
        number = self.batch_size * self.characters
        chosen = np.linspace(0, len(recordings) - 1, number).astype(int)
        generator = np.random.default_rng(seed)
        drawings = [
            self._field([recordings[index] for index in some], generator)
            for some in chosen.reshape(self.batch_size, self.characters)
        ]
        sites = [drawing.sites for drawing in drawings]
        features = np.concatenate([drawing.features for drawing in drawings])
        return _batch(sites, features[:, -channels:], (self.grid, self.grid))

    def _field(self, recordings: list[Recording], generator: np.random.Generator) -> Drawing:
        """Draw recordings over one another; where they cross, the first one's direction counts."""
        points, strokes = [], []
        last = 0
        for recording in recordings:
            shift = generator.uniform(-0.5, 0.5, 2) * (self.grid - self.scale)
            if self.characters == 1:
                shift = np.zeros(2)
            points.append(placed(recording.points, self.scale, self.grid) + shift.round())
            strokes.append(recording.strokes.astype(np.int64) + last)
            last = int(strokes[-1][-1]) + 1
        return strokes_on_grid(np.concatenate(points), np.concatenate(strokes), self.grid)


@dataclass(frozen=True)
class SpaceTimeStrokes:
    """Seeded handwriting-like curves in (time, row, column): the pen's path, one site thick.

    The only channel is 1. The sites of a path grow linearly with the scale, those of the grid with
    its cube.

    Attributes:
        grid: sites along each axis.
        scale: sites along each axis that a character takes, in the middle.
        batch_size: samples.
    """

    grid: int
    scale: int
    batch_size: int
    version: ClassVar[int] = 1

    @property
    def grid_size(self) -> Axes:
        """The same along each axis."""
        return (self.grid,) * 3

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw the paths."""
        _check_channels(channels, 1)
        _check_scale(self.scale, self.grid)
        generator = torch.Generator().manual_seed(seed)
        samples = []
        for _ in range(self.batch_size):
            path = character(generator)
            time = torch.linspace(0, 1, len(path))[:, None]
            place = torch.cat([time, path], 1) * (self.scale - 1) + (self.grid - self.scale) // 2
            samples.append(place.numpy())
        return _paths(samples, self.grid_size)


@dataclass(frozen=True)
class SpaceTimeRecordings:
    """Assamese recordings in (time, row, column); time is the way that the pen has gone on paper.

    The only channel is 1. Attributes as `SpaceTimeStrokes`.
    """

    grid: int
    scale: int
    batch_size: int
    version: ClassVar[int] = 1

    @property
    def grid_size(self) -> Axes:
        """The same along each axis."""
        return (self.grid,) * 3

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Draw the recordings' paths; nothing is random, so that the seed has no say."""
        del seed
        _check_channels(channels, 1)
        _check_scale(self.scale, self.grid)
        recordings = assamese.load()
        chosen = np.linspace(0, len(recordings) - 1, self.batch_size).astype(int)
        samples = [self._path(recordings[index]) for index in chosen]
        return _paths(samples, self.grid_size)

    def _path(self, recording: Recording) -> NDArray[np.float64]:
        """Sample the pen's path every half site or closer: (time, row, column) `[n, 3]`."""
        points = placed(recording.points, self.scale, self.grid)
        drawn = recording.strokes[1:] == recording.strokes[:-1]
        length = np.hypot(*(points[1:] - points[:-1]).T) * drawn
        time = np.append(0, np.cumsum(length))
        time = (self.grid - self.scale) // 2 + time / max(time[-1], 1) * (self.scale - 1)
        path = np.column_stack([time, points[:, ::-1]])
        steps = np.maximum(np.ceil(length / STEP_VOXELS), 1).astype(int)
        segments = [
            np.linspace(start, end, count, endpoint=False)
            for start, end, count, pen in zip(path[:-1], path[1:], steps, drawn, strict=True)
            if pen
        ]
        return np.concatenate([*segments, path[np.append(~drawn, True)]])


def _paths(samples: Sequence[NDArray[np.floating]], grid_size: Axes) -> SparseBatch:
    """Mark the sites that paths `[n, 3]` pass through, each once."""
    numbered = [
        np.column_stack([np.full(len(path), number), np.floor(path + 0.5)])
        for number, path in enumerate(samples)
    ]
    coordinates = torch.from_numpy(np.concatenate(numbered)).to(torch.int32)
    keys = linear_keys(coordinates, grid_size).unique()
    features = torch.ones((len(keys), 1))
    return sparse_batch(coordinates_of(keys, grid_size), features, len(samples), grid_size)


def _batch(
    samples: list[NDArray[np.int32]], features: NDArray[np.float32], grid_size: Axes
) -> SparseBatch:
    numbered = [np.insert(sites, 0, number, axis=1) for number, sites in enumerate(samples)]
    coordinates = torch.from_numpy(np.concatenate(numbered))
    rows = torch.from_numpy(features.copy())
    return sparse_batch(coordinates, rows, len(samples), grid_size)


def _check_channels(channels: int, *possible: int) -> None:
    if channels not in possible:
        known = " or ".join(map(str, possible))
        raise UserError(f"drawn characters have {known} channels, not {channels}")


def _check_scale(scale: int, grid: int) -> None:
    if not 1 <= scale <= grid:
        raise UserError(f"a character of {scale} sites does not fit on a grid of {grid}")
