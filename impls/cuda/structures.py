"""What kernels are given: the structures of kernels/*.cu, field by field."""

from ctypes import Structure, c_int32, c_int64, c_void_p
from functools import lru_cache
from typing import Any

from torch import Tensor

from bench.window import Axes
from bench.window import Window as Geometry

AXES = 3
"""Most spatial axes; grids with fewer get leading axes of one site."""
Axis = c_int32 * AXES


class Coordinates(Structure):
    """Rows of coordinates."""

    _fields_ = (("values", c_void_p), ("count", c_int64), ("axes", c_int32))


class Grid(Structure):
    """Number of sites along each axis."""

    _fields_ = (("size", Axis),)


class Window(Structure):
    """A window's geometry."""

    _fields_ = (
        ("kernel_size", Axis),
        ("stride", Axis),
        ("padding", Axis),
        ("dilation", Axis),
    )


class Index(Structure):
    """Bitmap or hash table."""

    _fields_ = (
        ("words", c_void_p),
        ("ranks", c_void_p),
        ("keys", c_void_p),
        ("rows", c_void_p),
        ("slots", c_int64),
    )


class IndexSites(Structure):
    """Of `mark_sites` and `insert_sites`."""

    _fields_ = (("sites", Coordinates), ("grid", Grid), ("index", Index))


class Touch(Structure):
    """Of `touch_outputs`."""

    _fields_ = (
        ("inputs", Coordinates),
        ("outputs", Grid),
        ("window", Window),
        ("offsets", c_int32),
        ("words", c_void_p),
        ("candidates", c_void_p),
    )


class FirstOfRuns(Structure):
    """Of `mark_first_of_runs`."""

    _fields_ = (("keys", c_void_p), ("words", c_void_p), ("count", c_int64))


class Ranking(Structure):
    """Of `count_tiles`, `add_up_tiles` and `emit_sites`."""

    _fields_ = (
        ("words", c_void_p),
        ("word_count", c_int64),
        ("tile_counts", c_void_p),
        ("tile_starts", c_void_p),
        ("tiles", c_int64),
        ("ranks", c_void_p),
        ("keys", c_void_p),
        ("grid", Grid),
        ("sites", Coordinates),
    )


class FewOutputs(Structure):
    """Of `find_few_outputs`."""

    _fields_ = (("touch", Touch), ("ranking", Ranking))


class Table(Structure):
    """Of `look_up_inputs`, `look_up_all_inputs` and `look_up_outputs`."""

    _fields_ = (
        ("rows", Coordinates),
        ("grid", Grid),
        ("index", Index),
        ("window", Window),
        ("table", c_void_p),
        ("keys", c_void_p),
    )


class Neighbours(Structure):
    """Of `neighbour_keys`."""

    _fields_ = (
        ("table", c_void_p),
        ("keys", c_void_p),
        ("rows", c_int64),
        ("offsets", c_int32),
    )


class Convolution(Structure):
    """Of `convolve_tiles`, `convolve_tensor_cores`, `convolve_few` and `finish_shares`."""

    _fields_ = (
        ("features", c_void_p),
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("table", c_void_p),
        ("order", c_void_p),
        ("scale", c_void_p),
        ("normalisation", c_void_p),
        ("output", c_void_p),
        ("shares", c_void_p),
        ("rows", c_int64),
        ("offsets", c_int32),
        ("in_channels", c_int32),
        ("out_channels", c_int32),
        ("turned_round", c_int32),
        ("splits", c_int32),
    )


class WeightRounding(Structure):
    """Of `round_weight`."""

    _fields_ = (
        ("weight", c_void_p),
        ("rounded", c_void_p),
        ("rows", c_int32),
        ("columns", c_int32),
    )


class PairCounts(Structure):
    """Of `count_pairs`."""

    _fields_ = (
        ("table", c_void_p),
        ("counts", c_void_p),
        ("rows", c_int64),
        ("offsets", c_int32),
    )


class WeightGradient(Structure):
    """Of `weight_gradient`, `weight_gradient_tensor_cores` and `add_shares`."""

    _fields_ = (
        ("features", c_void_p),
        ("upstream", c_void_p),
        ("scale", c_void_p),
        ("table", c_void_p),
        ("pairs_before", c_void_p),
        ("shares", c_void_p),
        ("gradient", c_void_p),
        ("rows", c_int64),
        ("offsets", c_int32),
        ("in_channels", c_int32),
        ("out_channels", c_int32),
        ("blocks", c_int32),
    )


class Pooling(Structure):
    """Of `pool`."""

    _fields_ = (
        ("features", c_void_p),
        ("table", c_void_p),
        ("output", c_void_p),
        ("chosen", c_void_p),
        ("rows", c_int64),
        ("offsets", c_int32),
        ("channels", c_int32),
    )


class PoolingGradient(Structure):
    """Of `pool_gradient`."""

    _fields_ = (
        ("upstream", c_void_p),
        ("table", c_void_p),
        ("chosen", c_void_p),
        ("gradient", c_void_p),
        ("inputs", c_int64),
        ("offsets", c_int32),
        ("channels", c_int32),
    )


def pointer(tensor: Tensor | None) -> int | None:
    """Address of a contiguous tensor's first element."""
    return None if tensor is None else tensor.data_ptr()


def coordinates(rows: Tensor) -> Coordinates:
    """Of int32 `[N, 1 + D]`, contiguous."""
    return Coordinates(rows.data_ptr(), rows.shape[0], rows.shape[1] - 1)


@lru_cache(1024)
def grid(size: Axes) -> Grid:
    """Of a grid of up to three axes; the same one again for the same size."""
    return Grid(_axes(size, 1))


@lru_cache(1024)
def window(geometry: Geometry) -> Window:
    """Of a window of up to three axes; the same one again for the same geometry."""
    return Window(
        _axes(geometry.kernel_size, 1),
        _axes(geometry.stride, 1),
        _axes(geometry.padding, 0),
        _axes(geometry.dilation, 1),
    )


def _axes(values: Axes, missing: int) -> Any:  # noqa: ANN401  # a ctypes array
    return Axis(*(missing,) * (AXES - len(values)), *values)
