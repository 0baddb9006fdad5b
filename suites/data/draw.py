"""From measured data to sparse sites: pen strokes to pixels, point clouds to voxels.

Sites are unique, inside the grid and in canonical (lexicographic) order, as a sparse batch has
them; only the batch index is missing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from suites.data.recording import Recording

STEP_PIXELS = 0.5


@dataclass(frozen=True, eq=False)
class Drawing:
    """Active sites of one sample.

    Attributes:
        sites: int32 `[N, D]`, (row, column) or (depth, row, column).
        features: float32 `[N, C]`.
    """

    sites: NDArray[np.int32]
    features: NDArray[np.float32]


def draw(recording: Recording, scale: int, grid: int) -> Drawing:
    """Draw a recording's strokes one pixel wide in the middle of a square grid.

    Args:
        recording: the pen's points.
        scale: pixels along the longer side of the strokes' bounding box.
        grid: pixels along each side of the grid, at least `scale`.

    Returns:
        Sites with features as of `strokes_on_grid`.

    Raises:
        UserError: if the drawing would not fit.
    """
    if not 1 <= scale <= grid:
        raise UserError(f"a drawing of {scale} pixels does not fit a grid of {grid}x{grid}")
    points = placed(recording.points, scale, grid)
    return strokes_on_grid(points, recording.strokes, grid)


def placed(
    points: NDArray[np.floating[Any]], scale: int, grid: int, *, both_sides: bool = False
) -> NDArray[np.float64]:
    """Scale and shift points `[n, 2]` so that they fill `scale` pixels in the middle of a grid.

    Pixel centres lie at whole numbers. The longer side of the bounding box goes from the centre of
    the first pixel to that of the last; a single spot stays one.

    Args:
        points: x and y.
        scale: pixels along the longer side.
        grid: pixels along each side of the grid.
        both_sides: scale width and height each for itself, so that the shorter side is as long.
    """
    points = points.astype(np.float64)
    low, high = points.min(0), points.max(0)
    sides = high - low if both_sides else np.full(2, (high - low).max())
    factor = np.divide(scale - 1, sides, out=np.zeros(2), where=sides > 0)
    # Along the longer side this is a whole number, so that no end falls between two pixels.
    margin = (grid - scale) // 2 + (scale - 1 - (high - low) * factor) / 2
    scaled: NDArray[np.float64] = (points - low) * factor + margin
    return scaled


def strokes_on_grid(
    points: NDArray[np.float64], strokes: NDArray[np.integer[Any]], grid: int
) -> Drawing:
    """Mark every pixel that a line from one point of a stroke to the next passes through.

    Samples on a line are at most half a pixel apart, so that the pixels of a stroke touch one
    another. What leaves the grid is left out.

    Args:
        points: `[n, 2]`, x and y in pixels, at least one.
        strokes: `[n]`, the stroke of each point; equal ones lie together.
        grid: pixels along each side.

    Returns:
        Sites with features (dx, dy, 1): the unit direction at the first sample in the site, 0 for
        a stroke of one spot.
    """
    drawing = strokes_on_grids(points, strokes, np.zeros(len(points), dtype=np.int64), grid)
    return Drawing(drawing.sites[:, 1:], drawing.features)


def strokes_on_grids(
    points: NDArray[np.float64],
    strokes: NDArray[np.integer[Any]],
    drawings: NDArray[np.integer[Any]],
    grid: int,
) -> Drawing:
    """Draw many characters at once, each on a grid of its own, as `strokes_on_grid` does one.

    Args:
        points: `[n, 2]`, x and y in pixels, at least one.
        strokes: `[n]`, the stroke of each point; equal ones of a drawing lie together.
        drawings: `[n]`, the drawing of each point, never decreasing.
        grid: pixels along each side.

    Returns:
        Sites (drawing, row, column), in canonical order, with features (dx, dy, 1).
    """
    points, strokes, drawings = _without_repeats(points, strokes, drawings)
    last = np.append((strokes[1:] != strokes[:-1]) | (drawings[1:] != drawings[:-1]), True)
    ahead = np.append(points[1:] - points[:-1], [[0.0, 0.0]], axis=0)
    ahead[last] = 0
    length = np.hypot(ahead[:, 0], ahead[:, 1])
    # A line's end is the next line's begin, or the single sample of the stroke's last point.
    samples = np.maximum(np.ceil(length / STEP_PIXELS), 1).astype(np.int64)
    line = np.repeat(np.arange(len(points)), samples)
    nth = np.arange(len(line)) - np.repeat(np.cumsum(samples) - samples, samples)
    position = points[line] + ahead[line] * (nth / samples[line])[:, None]
    direction = ahead / np.maximum(length, np.finfo(np.float64).tiny)[:, None]
    # The last point of a stroke has the direction of the line that leads there.
    arriving = np.flatnonzero(last[1:] & ~last[:-1]) + 1
    direction[arriving] = direction[arriving - 1]
    pixels = np.floor(position + 0.5).astype(np.int64)[:, ::-1]
    inside = ((pixels >= 0) & (pixels < grid)).all(1)
    pixels, line = pixels[inside], line[inside]
    numbers = (drawings[line] * grid + pixels[:, 0]) * grid + pixels[:, 1]
    keys, first = np.unique(numbers, return_index=True)
    features = np.ones((len(keys), 3), dtype=np.float32)
    features[:, :2] = direction[line[first]]
    rows = keys // grid
    sites = np.stack([rows // grid, rows % grid, keys % grid], axis=1).astype(np.int32)
    return Drawing(sites, features)


def voxels(
    points: NDArray[np.floating[Any]], voxel_size: float, grid_size: tuple[int, int, int]
) -> Drawing:
    """Gather points into voxels, counted from the smallest x, y and z; the rest is clipped.

    Args:
        points: `[n, 3]`, x y z.
        voxel_size: side of a voxel, in the points' unit.
        grid_size: (D, H, W), along z, y and x.

    Returns:
        Sites (depth, row, column) with features (dz, dy, dx, count): the mean offset of the
        voxel's points from its centre, in voxels, and their number.

    Raises:
        UserError: if the voxel size is not positive.
    """
    if not voxel_size > 0:
        raise UserError(f"a voxel of size {voxel_size} cannot hold points; give a positive size")
    if not len(points):
        return Drawing(np.zeros((0, 3), dtype=np.int32), np.zeros((0, 4), dtype=np.float32))
    inner = (points.astype(np.float64) - points.min(0)) / voxel_size
    inner = inner[:, ::-1]
    cells = np.floor(inner)
    inside = (cells < np.array(grid_size)).all(1)
    inner, cells = inner[inside], cells[inside].astype(np.int64)
    keys, voxel, count = np.unique(
        np.ravel_multi_index(tuple(cells.T), grid_size), return_inverse=True, return_counts=True
    )
    features = np.empty((len(keys), 4), dtype=np.float32)
    for axis in range(3):
        offset = np.bincount(voxel, inner[:, axis] - cells[:, axis] - 0.5, len(keys))
        features[:, axis] = offset / count
    features[:, 3] = count
    sites = np.stack(np.unravel_index(keys, grid_size), axis=1).astype(np.int32)
    return Drawing(sites, features)


def _without_repeats(
    points: NDArray[np.float64],
    strokes: NDArray[np.integer[Any]],
    drawings: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.integer[Any]], NDArray[np.int64]]:
    """Drop points where the pen stood still, which have no direction."""
    moved = np.ones(len(points), dtype=bool)
    moved[1:] = (
        (points[1:] != points[:-1]).any(1)
        | (strokes[1:] != strokes[:-1])
        | (drawings[1:] != drawings[:-1])
    )
    return points[moved], strokes[moved], drawings[moved].astype(np.int64)
