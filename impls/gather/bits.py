"""Kernel maps by rank in a bitmap: one bit for each site of the grid, set where it is active.

Active sites in canonical order are numbered as their bits are: the row of a site is the number of ones
before its bit, which a running count for each word of 64 sites gives in a few instructions. Lines of
the last axis begin at a word, so that coordinates are found without division. Everything is seen as
three-dimensional; a 2D grid has a depth of 1.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from impls.gather.tiles import lowest_one, popcount

Index = NDArray[np.int32]
Places = NDArray[np.int64]
Site = tuple[np.int64, np.int64, np.int64, np.int64]
WORD = 64


@njit(cache=True, nogil=True)
def site_of(coordinates: Index, row: int) -> Site:
    """Batch index, layer, line and place on the line of a site."""
    z = np.int64(coordinates[row, 1]) if coordinates.shape[1] == 4 else np.int64(0)
    y, x = np.int64(coordinates[row, -2]), np.int64(coordinates[row, -1])
    return np.int64(coordinates[row, 0]), z, y, x


@njit(cache=True, nogil=True)
def number_words(bits: Places) -> Index:
    """Ones before each word, and at the end all ones."""
    before = np.empty(len(bits) + 1, np.int32)
    ones = 0
    for word in range(len(bits)):
        before[word] = ones
        ones += popcount(bits[word])
    before[len(bits)] = ones
    return before


@njit(cache=True, nogil=True)
def place_lists(places: Places, offset: int, count: int, found: int) -> None:
    """Say where the lists of an offset and of its mirror image are, which are the same two."""
    first, mirrored = 2 * offset * count, places.shape[1] - 1 - offset
    places[0, offset], places[1, offset], places[2, offset] = first, first + count, found
    places[0, mirrored], places[1, mirrored], places[2, mirrored] = first + count, first, found


@njit(cache=True, nogil=True)
def three_in_line(
    keys: Places, shift: int, bits: Places, before: Index, rows: Index, offset: int
) -> tuple[np.int64, np.int64, np.int64]:
    """Find every site's neighbours at three places in line, whose bits and ranks lie together.

    Args:
        keys: of the sites.
        shift: from a site to the first of the three.
        bits, before: the bitmap, and the ones before each of its words.
        rows: written for offsets `offset` to `offset + 2`, see `submanifold_rows`.

    Returns:
        The numbers of pairs.
    """
    left = middle = right = np.int64(0)
    for row in range(len(keys)):
        key = keys[row] + shift
        word, place = key >> 6, key & 63
        rank = before[word] + popcount(bits[word] & ((1 << place) - 1))
        seen = bits[word] >> place
        if place > WORD - 3:
            seen &= (1 << (WORD - place)) - 1
            seen |= bits[word + 1] << (WORD - place)
        # Written in any case, kept where the bit is set: a branch would be mispredicted.
        rows[2 * offset, left] = rank
        rows[2 * offset + 1, left] = row
        left += seen & 1
        rank += seen & 1
        rows[2 * offset + 2, middle] = rank
        rows[2 * offset + 3, middle] = row
        middle += (seen >> 1) & 1
        rank += (seen >> 1) & 1
        rows[2 * offset + 4, right] = rank
        rows[2 * offset + 5, right] = row
        right += (seen >> 2) & 1
    return left, middle, right


@njit(cache=True, nogil=True)
def submanifold_rows(
    coordinates: Index, size: Places, geometry: Places, rows: Index, places: Places
) -> None:
    """Find the neighbours of every site through the first half of the offsets.

    The grid has a margin as wide as the kernel reaches, so that no neighbour needs a test. The other
    half of the offsets are the same pairs turned round.

    Args:
        coordinates: int32 `[N, 4]` or, on a 2D grid, `[N, 3]`.
        size: batch size and grid size, int64 `[4]`.
        geometry: kernel size, stride, padding and dilation, int64 `[4, 3]`.
        rows: written, int32 `[K, N]`: two lists for each of the first half of the offsets, input rows
            and output rows, then one for the centre.
        places: written, int64 `[3, K]`: where each offset's input and output rows begin in the
            flattened `rows`, and its number of pairs.
    """
    count = len(coordinates)
    kernel, dilation = geometry[0], geometry[3]
    depth = kernel[0] // 2 * dilation[0]
    height = kernel[1] // 2 * dilation[1]
    width = kernel[2] // 2 * dilation[2]
    layers, lines = size[1] + 2 * depth, size[2] + 2 * height
    line = (size[3] + 2 * width + WORD - 1) // WORD * WORD
    bits = np.zeros(size[0] * layers * lines * line // WORD, np.int64)
    keys = np.empty(count, np.int64)
    for row in range(count):
        b, z, y, x = site_of(coordinates, row)
        key = (((b * layers + z + depth) * lines) + y + height) * line + x + width
        keys[row] = key
        bits[key >> 6] |= 1 << (key & 63)
    before = number_words(bits)
    last = places.shape[1] - 1
    half = last // 2
    in_threes = half // 3 * 3 if kernel[2] == 3 and dilation[2] == 1 else 0
    for offset in range(0, in_threes, 3):
        across = (offset // 3 % kernel[1] - kernel[1] // 2) * dilation[1]
        down = (offset // 3 // kernel[1] - kernel[0] // 2) * dilation[0]
        found = three_in_line(keys, (down * lines + across) * line - 1, bits, before, rows, offset)
        for tap in range(3):
            place_lists(places, offset + tap, count, found[tap])
    for offset in range(in_threes, half):
        column = (offset % kernel[2] - kernel[2] // 2) * dilation[2]
        across = (offset // kernel[2] % kernel[1] - kernel[1] // 2) * dilation[1]
        down = (offset // kernel[2] // kernel[1] - kernel[0] // 2) * dilation[0]
        shift = (down * lines + across) * line + column
        found = 0
        for row in range(count):
            key = keys[row] + shift
            word = bits[key >> 6]
            place = key & 63
            # Written in any case, kept where the bit is set: a branch would be mispredicted.
            rows[2 * offset, found] = before[key >> 6] + popcount(word & ((1 << place) - 1))
            rows[2 * offset + 1, found] = row
            found += (word >> place) & 1
        place_lists(places, offset, count, found)
    for row in range(count):
        rows[last, row] = row
    places[0, half], places[1, half], places[2, half] = last * count, last * count, count


@njit(cache=True, nogil=True)
def reached(
    size: int, output: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[Places, Places, Places]:
    """Along one axis: for each coordinate how many offsets lead to an output, which, and to where."""
    counts = np.zeros(size, np.int64)
    taps = np.empty((size, kernel), np.int64)
    places = np.empty((size, kernel), np.int64)
    for tap in range(kernel):
        for coordinate in range(size):
            shifted = coordinate + padding - tap * dilation
            if shifted >= 0 and shifted % stride == 0 and shifted // stride < output:
                taps[coordinate, counts[coordinate]] = tap
                places[coordinate, counts[coordinate]] = shifted // stride
                counts[coordinate] += 1
    return counts, taps, places


@njit(cache=True, nogil=True)
def full_rows(
    coordinates: Index, size: Places, output: Places, geometry: Places, rows: Index, places: Places
) -> Index:
    """Push every site through every offset; what is hit is an output site.

    Args:
        coordinates: int32 `[N, 4]` or, on a 2D grid, `[N, 3]`.
        size, output: batch size and grid size of input and output, int64 `[4]`.
        geometry: kernel size, stride, padding and dilation, int64 `[4, 3]`.
        rows: written, int32 `[K * 2, N]`: input rows of an offset's pairs, then their output rows.
        places: written, see `submanifold_rows`.

    Returns:
        Output sites in canonical order, with as many columns as `coordinates`.
    """
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
    bits = np.zeros(output[0] * output[1] * output[2] * line // WORD, np.int64)
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
                start = (layer + y_places[y, j]) * line
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
    _write_coordinates(bits, output, line // WORD, found)
    return found


@njit(cache=True, nogil=True)
def _write_coordinates(bits: Places, size: Places, words: int, found: Index) -> None:
    """Write the coordinates of all ones, in order."""
    row = 0
    word = 0
    for b in range(size[0]):
        for z in range(size[1]):
            for y in range(size[2]):
                for part in range(words):
                    rest = bits[word]
                    word += 1
                    while rest != 0:
                        found[row, 0] = b
                        if found.shape[1] == 4:
                            found[row, 1] = z
                        found[row, -2] = y
                        found[row, -1] = part * WORD + lowest_one(rest)
                        row += 1
                        rest &= rest - 1


@njit(cache=True, nogil=True)
def _begin(sites: Index, row: int, geometry: Places) -> Site:
    """The first site of an output site's window, which may lie off the grid."""
    sample, z, y, x = site_of(sites, row)
    stride, padding = geometry[1], geometry[2]
    return (
        sample,
        z * stride[0] - padding[0],
        y * stride[1] - padding[1],
        x * stride[2] - padding[2],
    )


@njit(cache=True, nogil=True)
def _is_inside(begin: Site, size: Places, geometry: Places) -> bool:
    """Whether a window that begins there is on the grid as a whole."""
    for axis in range(3):
        first = begin[axis + 1]
        last = first + (geometry[0, axis] - 1) * geometry[3, axis]
        if first < 0 or last >= size[axis + 1]:
            return False
    return True


@njit(cache=True, nogil=True)
def _next_inside(last: int, begin: Site, size: Places, geometry: Places) -> int:
    """The first offset after `last` that is on the grid, in a window that begins there, or K."""
    kernel, dilation = geometry[0], geometry[3]
    place = 0
    for i in range(kernel[0]):
        on_layer = 0 <= begin[1] + i * dilation[0] < size[1]
        for j in range(kernel[1]):
            on_line = on_layer and 0 <= begin[2] + j * dilation[1] < size[2]
            for k in range(kernel[2]):
                if place > last and on_line and 0 <= begin[3] + k * dilation[2] < size[3]:
                    return place
                place += 1
    return place


@njit(cache=True, nogil=True)
def _rooms(rows: Index, places: Places, count: int) -> tuple[Places, int]:
    """Where the lists of all output rows begin, and as yet end, if each has all its pairs and a row."""
    lists = np.zeros((2, count), np.int64)
    begins, sizes = lists[0], lists[1]
    for offset in range(places.shape[1]):
        for pair in range(places[2, offset]):
            sizes[rows[places[1, offset] + pair]] += 1
    room = 0
    for row in range(count):
        begins[row] = room
        room += sizes[row] + 1
    lists[1] = begins
    return lists, room


@njit(cache=True, nogil=True)
def windows(
    rows: Index, places: Places, sites: Index, size: Places, geometry: Places, active: int
) -> tuple[Index, Places]:
    """Which input rows every output row sees, as `impls.gather.pairs.Windows` has them.

    Args:
        rows, places: the pairs, see `impls.gather.loops.multiply_pairs`.
        sites: output sites, int32 `[M, 4]` or `[M, 3]`.
        size: batch size and grid size of the input, int64 `[4]`.
        geometry: kernel size, stride, padding and dilation, int64 `[4, 3]`.
        active: number of input rows.
    """
    count, volume = len(sites), places.shape[1]
    lists, room = _rooms(rows, places, count)
    ends, seen = lists[1], np.empty(room, np.int32)
    # The offset to come next while all sites so far are active; then one that never comes.
    awaited, whole = np.zeros(count, np.int32), np.empty(count, np.bool_)
    for row in range(count):
        begin = _begin(sites, row, geometry)
        whole[row] = _is_inside(begin, size, geometry)
        if not whole[row]:
            awaited[row] = _next_inside(-1, begin, size, geometry)
    for offset in range(volume):
        for pair in range(places[2, offset]):
            row = rows[places[1, offset] + pair]
            if awaited[row] < offset:
                seen[ends[row]] = active
                ends[row] += 1
                awaited[row] = volume + 1
            elif awaited[row] == offset:
                awaited[row] += 1
                if not whole[row]:
                    begin = _begin(sites, row, geometry)
                    awaited[row] = _next_inside(offset, begin, size, geometry)
            seen[ends[row]] = rows[places[0, offset] + pair]
            ends[row] += 1
    for row in range(count):
        if awaited[row] < volume:
            seen[ends[row]] = active
            ends[row] += 1
    return seen, lists
