"""Where active sites lie, and which row of which sites a window sees."""

import math
from ctypes import Structure
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.window import Axes, Window
from impls.cuda import launching, structures
from impls.cuda.launching import Kernel, Launcher
from impls.cuda.shapes import BY_RULE, Chooser
from impls.cuda.structures import pointer

WORD_BITS = 32
THREADS = 256
KEY_BITS = 31  # of kernels/table.cu
CHUNK_ROWS = 1024  # of kernels/weight_gradient.cuh
WARP_THREADS = 32
MOST_ROWS = 2**31 - 1
"""Rows are numbered in 32 bits."""


@dataclass(frozen=True)
class Tuning:
    """The fixed rules: when to do which, counted in bytes and operations, not measured.

    Attributes:
        bitmap_sites: largest grid that gets a bitmap: 2^31 sites are 256 MiB, and as much for ranks. A
            site's number must fit 32 bits.
        bitmap_sites_each: largest number of sites of the grid for each active one: zeroing 4096 bits
            moves as many bytes as filling and reading the slots of a hash table for a site.
        few_channels: up to so many input and output channels each row is computed by a few threads.
        tensor_core_channels: from so many input and output channels on, tensor cores multiply.
        grouped_rows: from so many rows on, those with the same neighbours are computed together: a tile
            skips the offsets that none of its rows has, and sorting takes some ten launches.
        whole_rows: from so many rows for each multiprocessor on, a thread looks up all offsets of a row
            in a quarter of the instructions; of fewer rows, too few threads would wait for memory.
        few_pairs: up to so many pairs of an input site and a kernel offset, sixteen for each of its
            threads, one block finds all output sites, in one launch instead of four and a fill.
        few_words: largest bitmap of output sites that it does so in, 64 words for each thread.
        share_offsets: least number of kernel offsets that a block adds up where tiles are too few to
            keep the device busy: its sums are written and read once more.
        share_rows: least number of rows, on average, whose pairs at an offset a block adds up for the
            gradient at the weights.
        blocks_each: blocks that keep a multiprocessor busy.
        tiles_each: large tiles a multiprocessor that do so, the last of which may find no company.
    """

    bitmap_sites: int = 2**31
    bitmap_sites_each: int = 4096
    few_channels: int = 32
    tensor_core_channels: int = 16
    grouped_rows: int = 8192
    whole_rows: int = 256
    few_pairs: int = 2**14
    few_words: int = 2**16
    share_offsets: int = 3
    share_rows: int = 1024
    blocks_each: int = 4
    tiles_each: int = 2


@dataclass(frozen=True, eq=False)
class Seen:
    """Which row each row sees.

    Attributes:
        table: int32 `[K, M]`, the row seen through each offset; negative for none.
        keys: int32 `[M]`, close for rows with like neighbours; None where nothing has needed them yet.
    """

    table: Tensor
    keys: Tensor | None = None


class Places:
    """Active sites in canonical order, and the search for a site's row.

    Args:
        coordinates: int32 `[N, 1 + D]`, contiguous.
        batch_size: number of samples.
        grid_size: of up to three axes.
        launcher: starts the kernels.
        tuning: see there.
        chooser: of the shapes that products are launched in.
        index: words and ranks of a bitmap of these sites, where there is one already.

    Raises:
        ValueError: if there are more sites than 32 bits can number.
    """

    def __init__(
        self,
        coordinates: Tensor,
        batch_size: int,
        grid_size: Axes,
        launcher: Launcher,
        tuning: Tuning,
        chooser: Chooser = BY_RULE,
        index: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        check_count(coordinates.shape[0])
        self.coordinates = coordinates
        self.batch_size = batch_size
        self.grid_size = grid_size
        self.launcher = launcher
        self.tuning = tuning
        self.chooser = chooser
        self._index = index
        self._is_bitmap = index is not None

    @property
    def count(self) -> int:
        """Number of active sites."""
        return self.coordinates.shape[0]

    def fresh(self) -> "Places":
        """Return the same sites without an index."""
        return self.others(self.coordinates, self.grid_size)

    def others(
        self, coordinates: Tensor, grid_size: Axes, index: tuple[Tensor, Tensor] | None = None
    ) -> "Places":
        """Return other sites of the same batch, whose kernels are launched alike."""
        return Places(
            coordinates,
            self.batch_size,
            grid_size,
            self.launcher,
            self.tuning,
            self.chooser,
            index,
        )

    def compile(self, kernel: Kernel) -> None:
        """Have a kernel ready."""
        self.launcher.compile(kernel, self.coordinates.device)

    def launch(self, kernel: Kernel, blocks: tuple[int, ...], parameters: Structure) -> None:
        """Start a kernel, unless it has nothing to do."""
        x, y, z = (*blocks, 1, 1)[:3]
        if x and y and z:
            self.launcher.launch(kernel, (x, y, z), parameters, self.coordinates.device)

    def index(self) -> structures.Index:
        """Build the bitmap or hash table, once; the structure is valid as long as this object."""
        if self._index is None:
            size = grid_sites(self.batch_size, self.grid_size)
            self._is_bitmap = affordable(size, self.count, self.tuning)
            self._index = self._bitmap(size) if self._is_bitmap else self._hash_table()
        return self._structure(*self._index)

    def look_up_inputs(self, outputs: Tensor, window: Window) -> Seen:
        """Which of these sites' rows each output site sees through each offset.

        -1 at inactive sites, -2 off the grid.
        """
        rows = outputs.shape[0]
        if rows < self.tuning.whole_rows * self.launcher.multiprocessors(outputs.device):
            return self._look_up(launching.LOOK_UP_INPUTS, outputs, window, window.volume)
        keys = None
        if window.volume <= KEY_BITS and self._groups(window.volume, rows):
            keys = torch.empty(rows, dtype=torch.int32, device=outputs.device)
        hashed = self.index().slots > 0
        kernel = launching.LOOK_UP_ALL_IN_HASH_TABLE if hashed else launching.LOOK_UP_ALL_IN_BITMAP
        return self._look_up(kernel, outputs, window, 1, keys)

    def look_up_outputs(self, inputs: Tensor, window: Window) -> Seen:
        """Row of these sites, the outputs, that sees each input through each offset."""
        return self._look_up(launching.LOOK_UP_OUTPUTS, inputs, window, window.volume)

    def group_rows(self, seen: Seen) -> tuple[Tensor, Tensor] | None:
        """Bring a table's columns into an order in which rows with the same neighbours lie together.

        Args:
            seen: the table, and keys where there are some.

        Returns:
            The table in that order, and the order, int32 `[M]`; None where it would not pay.
        """
        table, keys = seen.table, seen.keys
        offsets, rows = table.shape
        if not self._groups(offsets, rows):
            return None
        if keys is None:
            keys = torch.empty(rows, dtype=torch.int32, device=table.device)
            parameters = structures.Neighbours(pointer(table), pointer(keys), rows, offsets)
            self.launch(launching.NEIGHBOUR_KEYS, (blocks_of(rows),), parameters)
        order = keys.sort(stable=True).indices.to(torch.int32)
        return table.index_select(1, order), order

    def count_pairs(self, table: Tensor) -> Tensor:
        """How many pairs a table has before each chunk of rows, offset by offset.

        Args:
            table: int32 `[K, M]`, negative where there is no pair.

        Returns:
            int64 `[K * chunks + 1]`, whose last element counts all pairs.
        """
        offsets, rows = table.shape
        chunks = offsets * math.ceil(rows / CHUNK_ROWS)
        counts = self.empty(chunks, torch.int32)
        parameters = structures.PairCounts(pointer(table), pointer(counts), rows, offsets)
        self.launch(launching.COUNT_PAIRS, (blocks_of(chunks * WARP_THREADS),), parameters)
        before = self.empty(chunks + 1, torch.int64)
        before[0] = 0
        torch.cumsum(counts, 0, out=before[1:])
        return before

    def _groups(self, offsets: int, rows: int) -> bool:
        """Whether rows with the same neighbours are computed together."""
        return offsets > 1 and rows >= self.tuning.grouped_rows

    def _look_up(
        self,
        kernel: Kernel,
        rows: Tensor,
        window: Window,
        blocks_abreast: int,
        keys: Tensor | None = None,
    ) -> Seen:
        count = rows.shape[0]
        table = torch.empty((window.volume, count), dtype=torch.int32, device=rows.device)
        parameters = structures.Table(
            structures.coordinates(rows),
            structures.grid(self.grid_size),
            self.index(),
            structures.window(window),
            pointer(table),
            pointer(keys),
        )
        self.launch(kernel, (blocks_of(count), blocks_abreast), parameters)
        return Seen(table, keys)

    def _bitmap(self, size: int) -> tuple[Tensor, Tensor]:
        words = self.empty(math.ceil(size / WORD_BITS), torch.int32).zero_()
        ranks = torch.empty_like(words)
        self._fill(launching.MARK_SITES, words, ranks)
        return words, ranks

    def _hash_table(self) -> tuple[Tensor, Tensor]:
        slots = 2 ** max(1, (2 * self.count - 1).bit_length())
        keys = torch.full((slots,), -1, dtype=torch.int64, device=self.coordinates.device)
        rows = self.empty(slots, torch.int32)
        self._fill(launching.INSERT_SITES, keys, rows)
        return keys, rows

    def _fill(self, kernel: Kernel, first: Tensor, second: Tensor) -> None:
        parameters = structures.IndexSites(
            structures.coordinates(self.coordinates),
            structures.grid(self.grid_size),
            self._structure(first, second),
        )
        self.launch(kernel, (blocks_of(self.count),), parameters)

    def _structure(self, first: Tensor, second: Tensor) -> structures.Index:
        if self._is_bitmap:
            return structures.Index(pointer(first), pointer(second), None, None, 0)
        return structures.Index(None, None, pointer(first), pointer(second), first.shape[0])

    def empty(self, size: int, dtype: torch.dtype) -> Tensor:
        """Make a vector on the sites' device."""
        return torch.empty(size, dtype=dtype, device=self.coordinates.device)

    def empty_sites(self, count: int, axes: int) -> Tensor:
        """Make rows for the coordinates of so many sites there, `[count, 1 + axes]`."""
        return self.coordinates.new_empty((count, 1 + axes))


def blocks_of(threads: int) -> int:
    """Blocks that hold so many threads."""
    return math.ceil(threads / THREADS)


def check_count(count: int) -> None:
    """Say in words that there are too many sites.

    Raises:
        ValueError: if there are.
    """
    if count > MOST_ROWS:
        raise ValueError(
            f"{count} active sites; the CUDA kernels number rows in 32 bits, up to {MOST_ROWS}: "
            f"split the batch"
        )


def grid_sites(batch_size: int, grid_size: Axes) -> int:
    """Number of sites, active or not."""
    return batch_size * math.prod(grid_size)


def affordable(size: int, active: int, tuning: Tuning) -> bool:
    """Whether a grid of so many sites gets a bitmap."""
    return size <= min(tuning.bitmap_sites, tuning.bitmap_sites_each * max(active, 1))
