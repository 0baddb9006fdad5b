"""The compiled way of `gather`: tensors in, tensors out, over as many threads as torch may use.

numba is imported when it is first needed, and everything here is left alone where it is missing.
"""

import importlib.util
import math
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.window import Axes, Window, window
from impls.gather.pairs import Pairs, Windows
from impls.gather.threads import spread

if TYPE_CHECKING:
    from impls.gather.sites import Sites

NUMBA = importlib.util.find_spec("numba") is not None
WORD = 64
WORDS_IN_ANY_CASE = 2**20
WORDS_PER_SITE = 64
MOST_WORDS = 2**24
FOLDING_WORDS = 16
"""A bitmap is used up to so many words of 64 sites: 12 bytes each, about a nanosecond each to clear and
number, against some 100 nanoseconds for sorting a site's keys. A folded one has a number for each line
of the grid besides; finding a site's lines by these takes as long as so many words."""
BLOCK_BYTES = 2**18
"""Features that are worked on at a time: a fraction of the second cache."""
THREAD_MULTIPLY_ADDS = 2**23
"""Least work of a thread: waking one costs as much as a tenth of it."""

Sizes = NDArray[np.int64]


class Layout(Enum):
    """Of a bitmap: every line of the grid, those that hold a site, or none at all."""

    WHOLE = "whole"
    FOLDED = "folded"
    NONE = "none"


def usable(tensor: Tensor) -> bool:
    """Whether compiled loops can work on a tensor."""
    return NUMBA and tensor.device.type == "cpu"


def prepare() -> None:
    """Compile every loop for float32, or load it from numba's cache."""
    if not NUMBA:
        return
    from impls.gather.sites import Sites  # noqa: PLC0415

    features, weight = torch.ones(1, 1), torch.ones(1, 1, 1)
    for dimensions in (2, 3):
        sites = Sites(torch.zeros((1, 1 + dimensions), dtype=torch.int32), 1, (1,) * dimensions)
        point = window(dimensions, 1)
        submanifold_pairs(sites, point, folds=True)
        full_pairs(sites, point, sites.grid_size, folds=True)
        pairs, _ = sites.kernel_map(point, submanifold=True)
        pooled = windows(pairs, sites, point, sites.coordinates)
    multiply(features, weight, None, pairs)
    multiply_turned(features, weight, 1, pairs)
    weight_gradient(features, features, pairs)
    gradients(features, weight, features, pairs, (True, True, True))
    pool(features, pooled)
    _, source = pool_with_source(features, pooled)
    pool_gradient(features, source, pooled, 1)


def layout(sites: "Sites", grid_size: Axes, window: Window | None = None) -> Layout:
    """Which bitmap of a grid of this size costs these sites least, if it pays at all.

    Args:
        sites: that are given.
        grid_size: of what is to be found.
        window: that the sites are pushed through, where these are its output sites.
    """
    if not usable(sites.coordinates):
        return Layout.NONE
    lines = sites.batch_size * math.prod(grid_size[:-1])
    words = -(-grid_size[-1] // WORD)
    looking_up = FOLDING_WORDS * sites.count
    if lines * words <= min(looking_up, MOST_WORDS):  # as a rule, and every map takes this time
        return Layout.WHOLE
    lines_of_site = 1 if window is None else _most_lines(window)
    folded = lines + (1 + min(lines, lines_of_site * sites.count)) * words + looking_up
    affordable = min(MOST_WORDS, WORDS_IN_ANY_CASE + WORDS_PER_SITE * sites.count)
    if min(lines * words, folded) > affordable:
        return Layout.NONE
    return Layout.WHOLE if lines * words <= folded else Layout.FOLDED


def _most_lines(window: Window) -> int:
    """On how many lines the output sites of a single site lie, at most."""
    reach = zip(window.kernel_size[:-1], window.stride, window.dilation, strict=False)
    return math.prod(
        size if dilation > 1 else -(-size // stride) for size, stride, dilation in reach
    )


def submanifold_layout(sites: "Sites", window: Window) -> Layout:
    """The same for the grid with a margin as wide as the kernel reaches."""
    margins = zip(sites.grid_size, window.kernel_size, window.dilation, strict=True)
    return layout(
        sites, tuple(size + kernel // 2 * dilation * 2 for size, kernel, dilation in margins)
    )


def submanifold_pairs(sites: "Sites", window: Window, *, folds: bool) -> Pairs:
    """Build a submanifold convolution's map."""
    from impls.gather import bits, folded_bits  # noqa: PLC0415

    count, volume = sites.count, window.volume
    rows, places = np.empty((volume, count), np.int32), np.empty((3, volume), np.int64)
    size = _sizes(sites.batch_size, sites.grid_size)
    geometry = _geometry(window)
    find = (folded_bits if folds else bits).submanifold_rows
    find(_numpy(sites.coordinates), size, geometry, rows, places)
    return Pairs(torch.from_numpy(rows.reshape(-1)), places, count, volume // 2)


def full_pairs(
    sites: "Sites", window: Window, output_grid: Axes, *, folds: bool
) -> tuple[Pairs, Tensor]:
    """Build a full convolution's map and the coordinates of its output sites."""
    from impls.gather import bits, folded_bits  # noqa: PLC0415

    volume = window.volume
    rows, places = np.empty((2 * volume, sites.count), np.int32), np.empty((3, volume), np.int64)
    size = _sizes(sites.batch_size, sites.grid_size)
    output = _sizes(sites.batch_size, output_grid)
    push = (folded_bits if folds else bits).full_rows
    outputs = push(_numpy(sites.coordinates), size, output, _geometry(window), rows, places)
    pairs = Pairs(torch.from_numpy(rows.reshape(-1)), places, len(outputs))
    return pairs, torch.from_numpy(outputs)


def windows(pairs: Pairs, sites: "Sites", window: Window, outputs: Tensor) -> Windows:
    """Build the lists of a max pooling from its kernel map and the coordinates of its output sites."""
    from impls.gather import bits  # noqa: PLC0415

    size = _sizes(sites.batch_size, sites.grid_size)
    geometry = _geometry(window)
    return Windows(
        *bits.windows(pairs.array, pairs.places, _numpy(outputs), size, geometry, sites.count)
    )


def multiply(features: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs) -> Tensor:
    """Sum of `features[input] @ weight[offset]` over each output row's pairs, plus the bias.

    Args:
        features: `[N, C_in]`, float32 or float64.
        weight: `[K, C_in, C_out]`.
        bias: `[C_out]`, or None.
        pairs: the kernel map.
    """
    plain = _numpy(weight)
    return _multiply(features, plain, plain, bias, pairs, pairs.output_count, turned=False)


def multiply_turned(upstream: Tensor, weight: Tensor, input_count: int, pairs: Pairs) -> Tensor:
    """Sum of `upstream[output] @ weight[offset].T` over each input row's pairs: `[N, C_in]`."""
    from impls.gather import loops  # noqa: PLC0415

    plain = _numpy(weight)
    transposed = loops.transposed(plain, pairs.places[2])
    return _multiply(upstream, transposed, plain, None, pairs, input_count, turned=True)


def _multiply(
    features: Tensor,
    weight: NDArray[Any],
    plain: NDArray[Any],
    bias: Tensor | None,
    pairs: Pairs,
    row_count: int,
    *,
    turned: bool,
) -> Tensor:
    from impls.gather import loops  # noqa: PLC0415

    _, channels_in, channels_out = weight.shape
    out = features.new_empty((row_count, channels_out))
    x, target = _numpy(features), out.numpy()
    b = np.empty(0, x.dtype) if bias is None else _numpy(bias)
    rows, places = pairs.array, pairs.places
    block = _block(weight)
    _spread(
        lambda first, last: loops.multiply_pairs(
            rows, places, turned, x, weight, plain, b, target, block, first, last
        ),
        row_count,
        pairs.count * channels_in * channels_out,
    )
    return out


def gradients(
    features: Tensor,
    weight: Tensor,
    upstream: Tensor,
    pairs: Pairs,
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of `multiply` at features, weight and bias; None where not needed.

    Args:
        features: `[N, C_in]`, float32 or float64.
        weight: `[K, C_in, C_out]`.
        upstream: gradient at the result, `[M, C_out]`.
        pairs: the kernel map.
        needed: which of the three.
    """
    channels_in, channels_out = weight.shape[1:]
    if _parts(pairs.count * channels_in * channels_out) > 1:
        upstream = upstream.contiguous()
        return (
            multiply_turned(upstream, weight, len(features), pairs) if needed[0] else None,
            weight_gradient(features, upstream, pairs) if needed[1] else None,
            sum_of_rows(upstream) if needed[2] else None,
        )
    from impls.gather import loops  # noqa: PLC0415

    at_features = features.new_empty(features.shape if needed[0] else (0, 0))
    at_weight = weight.new_empty(weight.shape if needed[1] else (0, 0, 0))
    at_bias = upstream.new_empty(channels_out if needed[2] else 0)
    # A sum's gradient is one number seen through strides of 0. Torch would wake threads to copy it.
    loops.gradients(
        pairs.array,
        pairs.places,
        _numpy(features),
        _numpy(weight),
        np.ascontiguousarray(upstream.numpy()),
        at_features.numpy(),
        at_weight.numpy(),
        at_bias.numpy(),
        _block(weight),
    )
    return (
        at_features if needed[0] else None,
        at_weight if needed[1] else None,
        at_bias if needed[2] else None,
    )


def weight_gradient(features: Tensor, upstream: Tensor, pairs: Pairs) -> Tensor:
    """For each offset the sum of `features[input].T @ upstream[output]`: `[K, C_in, C_out]`."""
    from impls.gather import loops  # noqa: PLC0415

    channels_in, channels_out = features.shape[1], upstream.shape[1]
    total = features.new_empty((pairs.places.shape[1], channels_in, channels_out))
    x, g, target = _numpy(features), _numpy(upstream), total.numpy()
    rows, places = pairs.array, pairs.places
    _spread(
        lambda first, last: loops.weight_gradient(rows, places, x, g, target, first, last),
        channels_in,
        pairs.count * channels_in * channels_out,
        unit=loops.ROWS,
    )
    return total


def sum_of_rows(values: Tensor) -> Tensor:
    """Sum over rows `[M, C]`: `[C]`."""
    from impls.gather import loops  # noqa: PLC0415

    total = values.new_empty(values.shape[1])
    loops.sum_of_rows(_numpy(values), total.numpy())
    return total


def pool(features: Tensor, windows: Windows) -> Tensor:
    """Max pooling: values `[M, C]`."""
    from impls.gather import loops  # noqa: PLC0415

    seen, lists = windows
    rows, channels = lists.shape[1], features.shape[1]
    out = features.new_empty((rows, channels))
    x, target = _numpy(features), out.numpy()
    _spread(
        lambda first, last: loops.pool(seen, lists, x, target, first, last),
        rows,
        len(seen) * channels,
    )
    return out


def pool_with_source(features: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Max pooling: values `[M, C]`, and the place in its row's list that each came from, int16."""
    from impls.gather import loops  # noqa: PLC0415

    seen, lists = windows
    rows, channels = lists.shape[1], features.shape[1]
    out = features.new_empty((rows, channels))
    source = torch.empty(out.shape, dtype=torch.int16)
    x, target, origin = _numpy(features), out.numpy(), source.numpy()
    _spread(
        lambda first, last: loops.pool_with_source(seen, lists, x, target, origin, first, last),
        rows,
        len(seen) * channels,
    )
    return out, source


def pool_gradient(upstream: Tensor, source: Tensor, windows: Windows, active: int) -> Tensor:
    """Gradient at a max pooling's input rows: `[N, C]`."""
    from impls.gather import loops  # noqa: PLC0415

    total = upstream.new_zeros((active, upstream.shape[1]))
    loops.pool_gradient(*windows, source.numpy(), _numpy(upstream), total.numpy())
    return total


def _spread(
    call: Callable[[int, int], None], count: int, multiply_adds: int, unit: int = 1
) -> None:
    """Share [0, count) out over as many threads as so many multiply-adds are worth."""
    spread(call, count, _parts(multiply_adds), unit)


def _parts(multiply_adds: int) -> int:
    """How many threads so much work is worth."""
    return min(torch.get_num_threads(), multiply_adds // THREAD_MULTIPLY_ADDS)


def _block(weight: Tensor | NDArray[Any]) -> int:
    """Output rows that are worked on at a time.

    Every block reads all weights anew: where these are large, so is a block.
    """
    offsets, channels_in, channels_out = weight.shape
    size = weight.dtype.itemsize
    weights = offsets * channels_in * channels_out * size
    return max(64, max(BLOCK_BYTES, weights) // ((channels_in + channels_out) * size))


def _numpy(tensor: Tensor) -> NDArray[Any]:
    if tensor.requires_grad:
        tensor = tensor.detach()
    return (tensor if tensor.is_contiguous() else tensor.contiguous()).numpy()


def _three(axes: Axes, filling: int) -> Axes:
    """Three numbers: a 2D grid has a depth of one."""
    return (*(filling,) * (3 - len(axes)), *axes)


@lru_cache(maxsize=64)
def _sizes(batch_size: int, grid_size: Axes) -> Sizes:
    return np.array((batch_size, *_three(grid_size, 1)), dtype=np.int64)


@lru_cache(maxsize=64)
def _geometry(window: Window) -> Sizes:
    """Kernel size, stride, padding and dilation: int64 `[4, 3]`."""
    axes = (
        _three(window.kernel_size, 1),
        _three(window.stride, 1),
        _three(window.padding, 0),
        _three(window.dilation, 1),
    )
    return np.array(axes, dtype=np.int64)
