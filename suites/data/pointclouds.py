"""3D scenes from LiDAR: small_gicp's two scans, and the scene that spconv is benchmarked with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from suites.data.catalogue import POINTCLOUDS
from suites.data.folder import data_folder, find
from suites.data.npz import Expected, read_arrays
from suites.data.ply import read_ply

INTENSITY = ("intensity", "scalar_intensity")

# spconv's own settings for its benchmark scene: metres, z y x.
GRID_SIZE = (80, 1600, 1600)
VOXEL_METRES = np.float32(0.1)
CORNER_XYZ = np.array([-80, -80, -2], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class PointCloud:
    """One scene.

    Attributes:
        points: float32 `[N, 3]`, x y z in metres.
        intensity: float32 `[N]` as the sensor gives it; None where it gives none.
    """

    points: NDArray[np.float32]
    intensity: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Voxels:
    """A scene's active sites.

    Attributes:
        coordinates: int32 `[N, 4]`, batch index, then z y x.
        features: float32 `[N, 3]`.
        grid_size: (D, H, W).
    """

    coordinates: NDArray[np.int32]
    features: NDArray[np.float32]
    grid_size: tuple[int, int, int]


def load(scene: str) -> PointCloud:
    """Load a scene.

    Args:
        scene: `small_gicp_source`, `small_gicp_target` or `spconv_benchmark-pc`.

    Raises:
        DataError: if its file is missing or broken, or a point is not finite.
    """
    if scene.startswith("spconv"):
        return _checked(_read_npz(find(POINTCLOUDS, f"{scene}.npz")), None, scene)
    return read_cloud(find(POINTCLOUDS, f"{scene}.ply"))


def read_cloud(path: Path) -> PointCloud:
    """Read the x, y, z and, where there is one, intensity of a PLY file's vertices.

    Raises:
        DataError: if the file is broken or lacks one of x, y, z.
    """
    vertices = read_ply(path)
    names = vertices.dtype.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise DataError(f"{path.name}: vertices have {', '.join(names)}; x, y and z are needed")
    points = np.stack([vertices[axis].astype(np.float32) for axis in "xyz"], axis=1)
    measured = next((name for name in INTENSITY if name in names), None)
    intensity = None if measured is None else vertices[measured].astype(np.float32)
    return _checked(points, intensity, path.name)


def spconv_voxels() -> Voxels:
    """Load the voxels that spconv is tested with: 125,562 sites on 80x1600x1600.

    They lie in a file of their own; without it they are made from the benchmark scene as spconv
    made them, and are the same to the last bit: the features of a voxel are its first point, and
    voxels come in the order of these points.

    Raises:
        DataError: if both files are missing, or the one that is there is broken.
    """
    name = "spconv_test_spconv.npz"
    if (data_folder() / POINTCLOUDS.file(name).path).is_file():
        return _read_voxels(find(POINTCLOUDS, name))
    points = load("spconv_benchmark-pc").points
    # In float32, because spconv divides so: float64 puts five points into other voxels.
    cells = np.floor((points - CORNER_XYZ) / VOXEL_METRES).astype(np.int32)[:, ::-1]
    inside = ((cells >= 0) & (cells < np.array(GRID_SIZE))).all(1)
    cells, points = cells[inside], points[inside]
    keys = np.ravel_multi_index(tuple(cells.T.astype(np.int64)), GRID_SIZE)
    first = np.sort(np.unique(keys, return_index=True)[1])
    coordinates = np.zeros((len(first), 4), dtype=np.int32)
    coordinates[:, 1:] = cells[first]
    return Voxels(coordinates, points[first], GRID_SIZE)


def _read_npz(path: Path) -> NDArray[np.float32]:
    arrays = read_arrays(path, {"pc": Expected("f", (None, 3))})
    return arrays["pc"].astype(np.float32)


def _read_voxels(path: Path) -> Voxels:
    arrays = read_arrays(
        path,
        {
            "coords_bzyx": Expected("i", (None, 4)),
            "features": Expected("f", (None, 3)),
            "spatial_shape": Expected("i", (3,)),
        },
    )
    coordinates = arrays["coords_bzyx"].astype(np.int32)
    depth, height, width = (int(size) for size in arrays["spatial_shape"])
    inside = (coordinates >= 0) & (coordinates < np.array([1, depth, height, width]))
    if len(coordinates) != len(arrays["features"]) or not inside.all():
        raise DataError(
            f"{path.name}: {len(coordinates):,} coordinates and {len(arrays['features']):,} "
            f"features do not fit a grid of {depth}x{height}x{width}"
        )
    features = arrays["features"].astype(np.float32)
    return Voxels(coordinates, features, (depth, height, width))


def _checked(
    points: NDArray[np.float32], intensity: NDArray[np.float32] | None, name: str
) -> PointCloud:
    unsound = ~np.isfinite(points).all(1)
    if unsound.any():
        raise DataError(f"{name}: point {int(unsound.argmax())} holds NaN or infinity")
    return PointCloud(points, intensity)
