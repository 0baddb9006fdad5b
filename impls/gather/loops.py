"""Compiled loops over a kernel map's pairs: forward, gradients, max pooling.

Each writes the rows that it is given only, in a fixed order: the same bits come out whatever the number
of threads. None takes memory beyond its result.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.gather.tiles import SHAPE, fill_tile, outer_tile, pair_tile, transpose_tile

Index = NDArray[np.int32]
Places = NDArray[np.int64]
Values = NDArray[Any]
Origins = NDArray[np.int16]

CHUNK = 128
"""Pairs of which input and gradient rows stay in the nearest caches, for all channels."""
BUNCH = 64
TURNED = True
FEWEST_TURNED, FEWEST_TURNED_ROWS = 4, 40
"""Pairs, and pairs times channels, from which on transposing an offset's weights costs less than dot
products lose to tiles: measured with AVX-512, 1 to 256 channels and 1 to 100 pairs."""
VECTOR_BYTES = SHAPE.vector_bytes
ROWS = SHAPE.rows
FEW = 4
"""Rows of the smaller tiles, for what larger ones leave: few are wasted, and the sums still suffice to
hide a multiply-add's latency."""

_two = pair_tile(ROWS, 2, masked=False)
_two_masked = pair_tile(ROWS, 2, masked=True)
_one = pair_tile(ROWS, 1, masked=False)
_one_masked = pair_tile(ROWS, 1, masked=True)
_few_two = pair_tile(FEW, 2, masked=False)
_few_two_masked = pair_tile(FEW, 2, masked=True)
_few_one = pair_tile(FEW, 1, masked=False)
_few_one_masked = pair_tile(FEW, 1, masked=True)
_fill = fill_tile(masked=False)
_fill_masked = fill_tile(masked=True)
_square = transpose_tile(masked=False)
_square_masked = transpose_tile(masked=True)
_outer_two = outer_tile(ROWS, 2, masked=False)
_outer_two_masked = outer_tile(ROWS, 2, masked=True)
_outer_one = outer_tile(ROWS, 1, masked=False)
_outer_one_masked = outer_tile(ROWS, 1, masked=True)
_outer_few_two = outer_tile(FEW, 2, masked=False)
_outer_few_two_masked = outer_tile(FEW, 2, masked=True)
_outer_few_one = outer_tile(FEW, 1, masked=False)
_outer_few_one_masked = outer_tile(FEW, 1, masked=True)


@njit(cache=True, nogil=True)
def _first_at_least(rows: Index, begin: int, end: int, least: int) -> int:
    """Place of the first entry of ascending `rows[begin:end]` that is at least `least`."""
    while begin < end:
        middle = (begin + end) // 2
        if rows[middle] < least:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True)
def _add_products(
    rows: Index, i: int, o: int, count: int, x: Values, w: Values, k: int, out: Values
) -> None:
    """Add one offset's products: pairs `rows[i + n]` to `rows[o + n]` for n < count."""
    lanes = VECTOR_BYTES // x.itemsize
    for column in range(0, out.shape[1], 2 * lanes):
        left = out.shape[1] - column
        tail = left if left < lanes else left - lanes
        n = 0
        while n < count:
            rest = count - n
            large = rest >= ROWS
            if left >= 2 * lanes:
                if large:
                    _two(rows, i + n, o + n, rest, x, w, k, out, column, tail)
                else:
                    _few_two(rows, i + n, o + n, rest, x, w, k, out, column, tail)
            elif left > lanes:
                if large:
                    _two_masked(rows, i + n, o + n, rest, x, w, k, out, column, tail)
                else:
                    _few_two_masked(rows, i + n, o + n, rest, x, w, k, out, column, tail)
            elif left == lanes:
                if large:
                    _one(rows, i + n, o + n, rest, x, w, k, out, column, tail)
                else:
                    _few_one(rows, i + n, o + n, rest, x, w, k, out, column, tail)
            elif large:
                _one_masked(rows, i + n, o + n, rest, x, w, k, out, column, tail)
            else:
                _few_one_masked(rows, i + n, o + n, rest, x, w, k, out, column, tail)
            n += ROWS if large else FEW


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dot(left: Values, right: Values) -> float:
    """Sum of products of two contiguous rows, in as many sums as registers hold."""
    total: float = left[0] * right[0]
    for place in range(1, len(left)):
        total += left[place] * right[place]
    return total


@njit(cache=True, nogil=True)
def _add_turned_products(
    rows: Index, i: int, o: int, count: int, x: Values, w: Values, k: int, out: Values
) -> None:
    """Add one offset's products with the transposed weights, without transposing them."""
    for channel in range(out.shape[1]):
        weights = w[k, channel]
        for n in range(count):
            out[rows[o + n], channel] += _dot(weights, x[rows[i + n]])


@njit(cache=True, nogil=True)
def _is_worth_transposing(pairs: int, channels: int) -> bool:
    """Whether the gradient at the input is computed with an offset's weights transposed."""
    return pairs >= FEWEST_TURNED and pairs * channels >= FEWEST_TURNED_ROWS


@njit(cache=True, nogil=True)
def _fill_rows(values: Values, out: Values, first: int, last: int) -> None:
    """Write the same values to rows [first, last)."""
    lanes = VECTOR_BYTES // out.itemsize
    if len(values) == lanes:
        _fill(values, out, first, last, lanes)
    elif len(values) < lanes:
        _fill_masked(values, out, first, last, len(values))
    else:
        for row in range(first, last):
            for column in range(len(values)):
                out[row, column] = values[column]


@njit(cache=True, nogil=True)
def multiply_pairs(
    rows: Index,
    places: Places,
    turned: bool,
    x: Values,
    w: Values,
    plain: Values,
    bias: Values,
    out: Values,
    block: int,
    first: int,
    last: int,
) -> None:
    """Write output rows [first, last): the bias plus the products of all pairs.

    Args:
        rows: rows of all pairs, each offset's in ascending order.
        places: `[3, K]`, where in `rows` each offset's input rows begin, where its output rows begin,
            and its number of pairs.
        turned: from output to input rows: `x` and `out` belong to the map's other sides.
        x: `[N, C_in]`.
        w: `[K, C_in, C_out]`.
        plain: where `turned`, the weights before they were transposed, `[K, C_out, C_in]`: offsets of
            few pairs are transposed in vain. Anything else otherwise.
        bias: `[C_out]`, or empty.
        out: `[M, C_out]`.
        block: output rows that are finished before the next are begun, so that they stay cached.
    """
    inputs, outputs, counts = places[0], places[1], places[2]
    if turned:
        inputs, outputs = outputs, inputs
    initial = bias if len(bias) else np.zeros(out.shape[1], out.dtype)
    done = np.empty(len(counts), np.int64)
    for k in range(len(counts)):
        begin = outputs[k]
        done[k] = _first_at_least(rows, begin, begin + counts[k], first) - begin
    for start in range(first, last, block):
        end = min(start + block, last)
        _fill_rows(initial, out, start, end)
        for k in range(len(counts)):
            begin = outputs[k]
            stop = _first_at_least(rows, begin + done[k], begin + counts[k], end) - begin
            if stop > done[k]:
                i, o, count = inputs[k] + done[k], begin + done[k], stop - done[k]
                if turned and not _is_worth_transposing(counts[k], out.shape[1]):
                    _add_turned_products(rows, i, o, count, x, plain, k, out)
                else:
                    _add_products(rows, i, o, count, x, w, k, out)
                done[k] = stop


@njit(cache=True, nogil=True)
def transposed(w: Values, counts: NDArray[np.int64]) -> Values:
    """Transpose the matrix of each offset that has enough pairs for it: `[K, C_out, C_in]`."""
    turned = np.empty((w.shape[0], w.shape[2], w.shape[1]), w.dtype)
    side = VECTOR_BYTES // w.itemsize
    for k in range(w.shape[0]):
        if not _is_worth_transposing(counts[k], w.shape[1]):
            continue
        for i in range(0, w.shape[1], side):
            for j in range(0, w.shape[2], side):
                height, width = min(side, w.shape[1] - i), min(side, w.shape[2] - j)
                if height == side and width == side:
                    _square(w, k, i, j, height, width, turned)
                else:
                    _square_masked(w, k, i, j, height, width, turned)
    return turned


@njit(cache=True, nogil=True)
def _add_outer(
    rows: Index,
    i: int,
    o: int,
    count: int,
    x: Values,
    g: Values,
    total: Values,
    k: int,
    channel: int,
    last: int,
) -> None:
    """Add `x.T @ g` over some pairs of one offset, for input channels [channel, last)."""
    lanes = VECTOR_BYTES // x.itemsize
    for column in range(0, g.shape[1], 2 * lanes):
        left = g.shape[1] - column
        tail = left if left < lanes else left - lanes
        n = channel
        while n < last:
            rest = last - n
            large = rest >= ROWS
            if left >= 2 * lanes:
                if large:
                    _outer_two(rows, i, o, count, x, g, total, k, n, rest, column, tail)
                else:
                    _outer_few_two(rows, i, o, count, x, g, total, k, n, rest, column, tail)
            elif left > lanes:
                if large:
                    _outer_two_masked(rows, i, o, count, x, g, total, k, n, rest, column, tail)
                else:
                    _outer_few_two_masked(rows, i, o, count, x, g, total, k, n, rest, column, tail)
            elif left == lanes:
                if large:
                    _outer_one(rows, i, o, count, x, g, total, k, n, rest, column, tail)
                else:
                    _outer_few_one(rows, i, o, count, x, g, total, k, n, rest, column, tail)
            elif large:
                _outer_one_masked(rows, i, o, count, x, g, total, k, n, rest, column, tail)
            else:
                _outer_few_one_masked(rows, i, o, count, x, g, total, k, n, rest, column, tail)
            n += ROWS if large else FEW


@njit(cache=True, nogil=True)
def weight_gradient(
    rows: Index,
    places: Places,
    x: Values,
    g: Values,
    total: Values,
    first: int,
    last: int,
) -> None:
    """Write `total[:, first:last]`: for each offset the sum of `x[i].T @ g[o]` over its pairs.

    Args:
        rows, places: see `multiply_pairs`.
        x: `[N, C_in]`.
        g: gradient at the output, `[M, C_out]`.
        total: `[K, C_in, C_out]`.
        first, last: input channels.
    """
    inputs, outputs, counts = places[0], places[1], places[2]
    for k in range(len(counts)):
        total[k, first:last] = 0
        for start in range(0, counts[k], CHUNK):
            count = min(CHUNK, counts[k] - start)
            _add_outer(
                rows, inputs[k] + start, outputs[k] + start, count, x, g, total, k, first, last
            )


@njit(cache=True, nogil=True)
def sum_of_rows(g: Values, total: Values) -> None:
    """Write the sum of all rows of `g`, of `BUNCH` rows at a time: fewer roundings than one by one."""
    total[:] = 0
    bunch = np.empty_like(total)
    for start in range(0, g.shape[0], BUNCH):
        bunch[:] = 0
        for row in range(start, min(start + BUNCH, g.shape[0])):
            for column in range(g.shape[1]):
                bunch[column] += g[row, column]
        for column in range(len(total)):
            total[column] += bunch[column]


@njit(cache=True, nogil=True)
def gradients(
    rows: Index,
    places: Places,
    x: Values,
    w: Values,
    g: Values,
    at_x: Values,
    at_w: Values,
    at_bias: Values,
    block: int,
) -> None:
    """Write all gradients that are not empty, in one call: small ones cost less than calling.

    Args:
        rows, places, block: see `multiply_pairs`.
        x: `[N, C_in]`.
        w: `[K, C_in, C_out]`.
        g: gradient at the output, `[M, C_out]`.
        at_x: `[N, C_in]`, or empty.
        at_w: `[K, C_in, C_out]`, or empty.
        at_bias: `[C_out]`, or empty.
    """
    if at_x.size:
        no_bias = np.empty(0, x.dtype)
        turned = transposed(w, places[2])
        multiply_pairs(rows, places, TURNED, g, turned, w, no_bias, at_x, block, 0, at_x.shape[0])
    if at_w.size:
        weight_gradient(rows, places, x, g, at_w, 0, at_w.shape[1])
    if at_bias.size:
        sum_of_rows(g, at_bias)


@njit(cache=True, nogil=True)
def pool(seen: Index, lists: Places, x: Values, out: Values, first: int, last: int) -> None:
    """Write output rows [first, last) of a max pooling; where one holds a NaN, that is the largest.

    Args:
        seen, lists: see `impls.gather.pairs.Windows`.
        x: `[N, C]`.
        out: `[M, C]`.
    """
    count = x.shape[0]
    for row in range(first, last):
        best = out[row]
        best[:] = -np.inf
        for place in range(lists[0, row], lists[1, row]):
            if seen[place] < count:
                values = x[seen[place]]
                for channel in range(len(best)):
                    value = values[channel]
                    better = (value > best[channel]) | np.isnan(value)
                    best[channel] = value if better else best[channel]
            else:
                for channel in range(len(best)):
                    better = best[channel] < 0
                    best[channel] = 0 if better else best[channel]


@njit(cache=True, nogil=True)
def pool_with_source(
    seen: Index, lists: Places, x: Values, out: Values, source: Origins, first: int, last: int
) -> None:
    """Write output rows [first, last) of a max pooling, and where each value came from.

    Args:
        seen, lists, x, out: as `pool` has them.
        source: int16 `[M, C]`, the first place in the row's list with the largest value; as in torch,
            the last NaN is larger than all others.
    """
    count = x.shape[0]
    for row in range(first, last):
        best = out[row]
        origin = source[row]
        best[:] = -np.inf
        origin[:] = 0
        for place in range(lists[0, row], lists[1, row]):
            number = np.int16(place - lists[0, row])
            if seen[place] < count:
                values = x[seen[place]]
                for channel in range(len(best)):
                    value = values[channel]
                    better = (value > best[channel]) | np.isnan(value)
                    best[channel] = value if better else best[channel]
                    origin[channel] = number if better else origin[channel]
            else:
                for channel in range(len(best)):
                    better = best[channel] < 0
                    best[channel] = 0 if better else best[channel]
                    origin[channel] = number if better else origin[channel]


@njit(cache=True, nogil=True)
def pool_gradient(seen: Index, lists: Places, source: Origins, g: Values, total: Values) -> None:
    """Add the gradient at a max pooling's output to the input rows it came from: `[N, C]`."""
    for row in range(g.shape[0]):
        begin = lists[0, row]
        for channel in range(g.shape[1]):
            origin = seen[begin + source[row, channel]]
            if origin < total.shape[0]:
                total[origin, channel] += g[row, channel]
