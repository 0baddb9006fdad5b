"""Kernel maps by rank in a folded bitmap, see `impls.gather.bits`.

Where the grid is much larger than what is active on it, the bitmap is folded: it has the lines that
hold a site, in their order, after an empty one that stands for all others. A number for each line of
the grid says where in the bitmap it is.
It has loops of its own: one pair of loops for both made the maps of small grids 5 to 26 % slower.
"""

import numpy as np
from numba import njit

from impls.gather.bits import (
    WORD,
    Index,
    Places,
    number_words,
    place_lists,
    reached,
    site_of,
    three_in_line,
)
from impls.gather.tiles import lowest_one, popcount


@njit(cache=True, nogil=True)
def _fold(where: Index) -> int:
    """Number the lines that are marked, from 1 on; return how many a bitmap has, with the empty one."""
    kept = 1
    for line in range(len(where)):
        if where[line] != 0:
            where[line] = kept
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _at_one_place(
    keys: Places, shift: int, bits: Places, before: Index, rows: Index, offset: int
) -> int:
    """Find every site's neighbour at one place; return the number of pairs."""
    found = 0
    for row in range(len(keys)):
        key = keys[row] + shift
        word = bits[key >> 6]
        place = key & 63
        # Written in any case, kept where the bit is set: a branch would be mispredicted.
        rows[2 * offset, found] = before[key >> 6] + popcount(word & ((1 << place) - 1))
        rows[2 * offset + 1, found] = row
        found += (word >> place) & 1
    return found


@njit(cache=True, nogil=True)
def _along_a_line(
    keys: Places,
    taps: int,
    along: tuple[int, int],
    bits: Places,
    before: Index,
    rows: Index,
    offset: int,
    places: Places,
) -> None:
    """Find every site's neighbours through the offsets that lie on one line.

    Args:
        keys: of the places in the middle of the line's offsets.
        taps: how many of them there are to be looked up.
        along: kernel size and dilation on the line.
        bits: the bitmap.
        before: ones before each of its words.
        rows: written, see `submanifold_rows`.
        offset: the first one.
        places: written, see `submanifold_rows`.
    """
    size, dilation = along
    if taps == size == 3 and dilation == 1:
        found = three_in_line(keys, -1, bits, before, rows, offset)
        for tap in range(3):
            place_lists(places, offset + tap, len(keys), found[tap])
        return
    for tap in range(taps):
        there = (tap - size // 2) * dilation
        pairs = _at_one_place(keys, there, bits, before, rows, offset + tap)
        place_lists(places, offset + tap, len(keys), pairs)


@njit(cache=True, nogil=True)
def submanifold_rows(
    coordinates: Index,
    size: Places,
    geometry: Places,
    rows: Index,
    places: Places,
) -> None:
    """Find neighbours as `impls.gather.bits.submanifold_rows` does."""
    count = len(coordinates)
    kernel, dilation = geometry[0], geometry[3]
    depth = kernel[0] // 2 * dilation[0]
    height = kernel[1] // 2 * dilation[1]
    width = kernel[2] // 2 * dilation[2]
    layers, lines = size[1] + 2 * depth, size[2] + 2 * height
    line = (size[3] + 2 * width + WORD - 1) // WORD * WORD
    keys, numbers = np.empty((2, count), np.int64)
    for row in range(count):
        b, z, y, x = site_of(coordinates, row)
        numbers[row] = (b * layers + z + depth) * lines + y + height
        keys[row] = numbers[row] * line + x + width
    where = np.zeros(size[0] * layers * lines, np.int32)
    where[numbers] = 1
    kept = _fold(where)
    keys += (where[numbers] - numbers) * line
    bits = np.zeros(kept * line // WORD, np.int64)
    for row in range(count):
        bits[keys[row] >> 6] |= 1 << (keys[row] & 63)
    before = number_words(bits)
    last = places.shape[1] - 1
    half = last // 2
    along = kernel[2], dilation[2]
    for offset in range(0, half, kernel[2]):
        taps = min(kernel[2], half - offset)
        across = (offset // kernel[2] % kernel[1] - kernel[1] // 2) * dilation[1]
        down = (offset // kernel[2] // kernel[1] - kernel[0] // 2) * dilation[0]
        shift = down * lines + across
        moved = keys + (where[numbers + shift] - where[numbers]) * line
        _along_a_line(moved, taps, along, bits, before, rows, offset, places)
    for row in range(count):
        rows[last, row] = row
    places[0, half], places[1, half], places[2, half] = last * count, last * count, count


@njit(cache=True, nogil=True)
def _mark(
    coordinates: Index,
    output: Places,
    z_counts: Places,
    z_places: Places,
    y_counts: Places,
    y_places: Places,
    where: Index,
) -> None:
    """Mark the lines of the output that sites are pushed to, see `reached`."""
    for row in range(len(coordinates)):
        b, z, y, _ = site_of(coordinates, row)
        for i in range(z_counts[z]):
            layer = (b * output[1] + z_places[z, i]) * output[2]
            for j in range(y_counts[y]):
                where[layer + y_places[y, j]] = 1


@njit(cache=True, nogil=True)
def full_rows(
    coordinates: Index,
    size: Places,
    output: Places,
    geometry: Places,
    rows: Index,
    places: Places,
) -> Index:
    """Push sites as `impls.gather.bits.full_rows` does."""
    kernel, stride, padding, dilation = geometry[0], geometry[1], geometry[2], geometry[3]
    z_counts, z_taps, z_places = reached(
        size[1], output[1], kernel[0], stride[0], padding[0], dilation[0]
    )
    y_counts, y_taps, y_places = reached(
        size[2], output[2], kernel[1], stride[1], padding[1], dilation[1]
    )
    x_counts, x_taps, x_places = reached(
        size[3], output[3], kernel[2], stride[2], padding[2], dilation[2]
    )
    line = (output[3] + WORD - 1) // WORD * WORD
    where = np.zeros(output[0] * output[1] * output[2], np.int32)
    _mark(coordinates, output, z_counts, z_places, y_counts, y_places, where)
    kept = _fold(where)
    bits = np.zeros(kept * line // WORD, np.int64)
    counts = places[2]
    for offset in range(len(counts)):
        places[0, offset] = 2 * offset * len(coordinates)
        places[1, offset] = (2 * offset + 1) * len(coordinates)
        counts[offset] = 0
    for row in range(len(coordinates)):
        b, z, y, x = site_of(coordinates, row)
        for i in range(z_counts[z]):
            layer = (b * output[1] + z_places[z, i]) * output[2]
            for j in range(y_counts[y]):
                start = np.int64(where[layer + y_places[y, j]]) * line
                first = (z_taps[z, i] * kernel[1] + y_taps[y, j]) * kernel[2]
                for k in range(x_counts[x]):
                    key = start + x_places[x, k]
                    offset = first + x_taps[x, k]
                    place = counts[offset]
                    bits[key >> 6] |= 1 << (key & 63)
                    rows[2 * offset, place] = row
                    rows[2 * offset + 1, place] = key
                    counts[offset] = place + 1
    before = number_words(bits)
    for offset in range(len(counts)):
        for place in range(counts[offset]):
            key = np.int64(rows[2 * offset + 1, place])
            ones = bits[key >> 6] & ((1 << (key & 63)) - 1)
            rows[2 * offset + 1, place] = before[key >> 6] + popcount(ones)
    found = np.empty((before[len(bits)], coordinates.shape[1]), np.int32)
    _write_coordinates(bits, output, line // WORD, where, found)
    return found


@njit(cache=True, nogil=True)
def _write_coordinates(bits: Places, size: Places, words: int, where: Index, found: Index) -> None:
    """Write the coordinates of all ones of a folded bitmap, in order."""
    row = 0
    number = 0
    for b in range(size[0]):
        for z in range(size[1]):
            for y in range(size[2]):
                line = np.int64(where[number])
                number += 1
                if line == 0:
                    continue
                for part in range(words):
                    rest = bits[line * words + part]
                    while rest != 0:
                        found[row, 0] = b
                        if found.shape[1] == 4:
                            found[row, 1] = z
                        found[row, -2] = y
                        found[row, -1] = part * WORD + lowest_one(rest)
                        row += 1
                        rest &= rest - 1
