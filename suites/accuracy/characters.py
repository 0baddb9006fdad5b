"""Assamese handwriting: strokes moved and bent as strokes, then drawn; writers split."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bench.batch import SparseBatch
from bench.errors import DataError, UserError
from bench.training.experiment import Samples
from bench.window import Axes
from suites.accuracy.rows import rows_of
from suites.data import assamese
from suites.data.draw import placed, strokes_on_grids
from suites.data.recording import Recording

KINDS_OF_BENDING = 3
MAP = 6
"""Numbers of a map from points to points: a matrix and a shift."""


@dataclass(frozen=True)
class Motion:
    """How a character's strokes are moved at random, before they are drawn.

    One of three is chosen: a shear along x, a shear along y, a rotation; all about the middle of the
    field.

    Attributes:
        shift: pixels along each axis, at most.
        bending: shear, or radians of rotation, at most.
        stretching: change of width and of height, each for itself, at most, as a share.
    """

    shift: float = 0.0
    bending: float = 0.0
    stretching: float = 0.0


STILL = Motion()


@dataclass(frozen=True)
class LooseMotion(Motion):
    """A motion before which every stroke moves a little for itself, as in Graham's code.

    Attributes:
        stroke_shift: pixels along each axis, at most, of each stroke.
    """

    stroke_shift: float = 0.0


@dataclass(frozen=True)
class BentMotion(LooseMotion):
    """A motion before which every stroke also has a linear map of its own, about its middle.

    Attributes:
        stroke_bending: how far each entry of a stroke's matrix is from the identity's, at most.
    """

    stroke_bending: float = 0.0


@dataclass(frozen=True)
class AssameseStrokes:
    """Assamese characters drawn one pixel wide: 36 writers to train on, 9 others to test on.

    One channel is 1 wherever there is ink (Graham 2014). Three are the pen's unit direction (dx, dy)
    where it first entered the site, and 1 (SparseConvNet's VGG example).

    Attributes:
        grid: pixels along each side of the field.
        scale: pixels along the longer side of a character.
        channels: 1 or 3.
        motion: of training samples.
        every: only every so-manieth character of the 183: 1 for all.
    """

    grid: int
    scale: int
    channels: int
    motion: Motion = STILL
    every: int = 1
    version: ClassVar[int] = 1
    fills_both_sides: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.channels not in {1, 3}:
            raise UserError(f"drawn characters have 1 or 3 channels, not {self.channels}")
        if not 1 <= self.scale <= self.grid:
            raise UserError(
                f"a character of {self.scale} pixels does not fit on a grid of {self.grid}"
            )

    @property
    def classes(self) -> int:
        """Characters that are told apart."""
        return len(range(0, assamese.CHARACTERS, self.every))

    @property
    def grid_size(self) -> Axes:
        """A square field."""
        return (self.grid, self.grid)

    def load(self, *, train: bool, skip_broken: bool = False) -> Samples:
        """Load the recordings of the writers of one part.

        Raises:
            DataError: if the archive is missing, or recordings in it cannot be read; it counts them
                and names the first.
        """
        found, broken = _part(train=train, skip_broken=skip_broken)
        recordings = [one for one in found if self._is_told(one.character)]
        labels = [(one.character - 1) // self.every for one in recordings]
        samples = _Strokes(self, recordings, labels, self.motion if train else STILL)
        samples.left_out = tuple(one.name for one in broken if self._is_told(one.character))
        return samples

    def _is_told(self, character: int) -> bool:
        """Whether a character is among those that are told apart."""
        return (character - 1) % self.every == 0


@dataclass(frozen=True)
class FilledAssameseStrokes(AssameseStrokes):
    """Assamese characters whose width and height are scaled each for itself: both are `scale` pixels.

    SparseConvNet's VGG example does so: how wide a writer writes makes no difference.
    """

    fills_both_sides: ClassVar[bool] = True


def _part(
    *, train: bool, skip_broken: bool
) -> tuple[tuple[Recording, ...], tuple[assamese.BrokenRecording, ...]]:
    """Load the recordings of one part, and those that are left out of it."""
    writers = assamese.TRAIN_WRITERS if train else assamese.TEST_WRITERS
    if skip_broken:
        return assamese.load_readable(writers)
    try:
        return assamese.load(writers), ()
    except assamese.BrokenRecordingsError as error:
        raise DataError(f"{error}; --skip-broken leaves broken recordings out") from error


class _Strokes(Samples):
    """Points of recordings, placed on the field once and moved for every batch."""

    def __init__(
        self,
        source: AssameseStrokes,
        recordings: list[Recording],
        labels: list[int],
        motion: Motion,
    ) -> None:
        self.labels = np.array(labels, dtype=np.int64)
        self.grid = source.grid
        self.channels = source.channels
        self.motion = motion
        self.middle = (source.grid - 1) / 2
        pixels = [
            placed(each.points, source.scale, source.grid, both_sides=source.fills_both_sides)
            for each in recordings
        ]
        self.points = np.concatenate(pixels) - self.middle
        self.strokes = np.concatenate([each.strokes for each in recordings])
        self.most_strokes = int(self.strokes.max()) + 1
        self.stroke_shift = motion.stroke_shift if isinstance(motion, LooseMotion) else 0.0
        self.stroke_bending = motion.stroke_bending if isinstance(motion, BentMotion) else 0.0
        lengths = [len(each.points) for each in recordings]
        self.ends = np.cumsum(lengths)
        if self.stroke_bending:
            self.from_middles = self._from_middles(lengths)

    def draw(self, count: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Draw maps from points to points: a matrix, row after row, and a shift, in pixels.

        Where strokes move for themselves, as many shifts follow as the most strokes of a character,
        and then, where they are bent, as many matrices, less the identity.
        """
        motion = self.motion
        shift = generator.uniform(-motion.shift, motion.shift, (count, 2))
        amount = generator.uniform(-motion.bending, motion.bending, count)
        kind = generator.integers(KINDS_OF_BENDING, size=count)
        stretch = 1 + generator.uniform(-motion.stretching, motion.stretching, (count, 2))
        matrix = np.zeros((count, 2, 2))
        matrix[:, [0, 1], [0, 1]] = np.where(kind == 2, np.cos(amount), 1)[:, None]
        matrix[:, 0, 1] = np.choose(kind, [amount, 0 * amount, -np.sin(amount)])
        matrix[:, 1, 0] = np.choose(kind, [0 * amount, amount, np.sin(amount)])
        matrix *= stretch[:, :, None]
        columns = [matrix.reshape(count, 4), shift]
        for most, numbers in ((self.stroke_shift, 2), (self.stroke_bending, 4)):
            if most:
                columns.append(generator.uniform(-most, most, (count, numbers * self.most_strokes)))
        return np.concatenate(columns, axis=1).astype(np.float32)

    def batch(self, indices: NDArray[np.int64], drawn: NDArray[np.float32]) -> SparseBatch:
        """Move strokes and draw them; what leaves the field is cut off."""
        rows, numbers = rows_of(self.ends, indices)
        points, strokes = self.points[rows], self.strokes[rows]
        own = MAP
        if self.stroke_shift:
            shifts = drawn[:, own : own + 2 * self.most_strokes].reshape(len(indices), -1, 2)
            points = points + shifts[numbers, strokes]
            own += 2 * self.most_strokes
        if self.stroke_bending:
            matrices = drawn[:, own:].reshape(len(indices), -1, 2, 2)[numbers, strokes]
            points = points + np.einsum("nij,nj->ni", matrices, self.from_middles[rows])
        x, y = points.T
        a, b, c, d, across, down = drawn[:, :MAP].astype(np.float64)[numbers].T
        moved = np.stack([a * x + b * y + across, c * x + d * y + down], axis=1) + self.middle
        drawing = strokes_on_grids(moved, strokes, numbers, self.grid)
        return SparseBatch(
            torch.from_numpy(drawing.sites),
            torch.from_numpy(drawing.features[:, -self.channels :].copy()),
            len(indices),
            (self.grid, self.grid),
        )

    def _from_middles(self, lengths: list[int]) -> NDArray[np.float64]:
        """Every point's way from the mean of its stroke's points, in pixels."""
        character = np.repeat(np.arange(len(lengths)), lengths)
        stroke = character * self.most_strokes + self.strokes
        points = np.maximum(np.bincount(stroke), 1)
        middles = [np.bincount(stroke, along) / points for along in self.points.T]
        from_middles: NDArray[np.float64] = self.points - np.stack(middles, axis=1)[stroke]
        return from_middles
