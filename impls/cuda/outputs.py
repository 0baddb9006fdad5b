"""Active output sites of a window, in canonical order: marked in a bitmap, counted, written out."""

import math

import torch
from torch import Tensor

from bench.window import Axes, Window
from impls.cuda import launching, structures
from impls.cuda.places import WORD_BITS, Places, affordable, blocks_of, check_count, grid_sites
from impls.cuda.structures import pointer

TILE_WORDS = 256  # of kernels/outputs.cu


def touched(inputs: Places, window: Window) -> Places:
    """Active output sites of a window. Waits for the device once, for their number.

    Raises:
        ValueError: if there are more of them than 32 bits can number.
    """
    grid_size = window.output_grid(inputs.grid_size)
    size = grid_sites(inputs.batch_size, grid_size)
    tuning, pairs = inputs.tuning, window.volume * inputs.count
    marks = affordable(size, inputs.count, tuning)
    bits = size if marks else pairs
    words = inputs.empty(math.ceil(bits / WORD_BITS), torch.int32)
    candidates = None if marks else inputs.empty(pairs, torch.int64)
    touch = structures.Touch(
        structures.coordinates(inputs.coordinates),
        structures.grid(grid_size),
        structures.window(window),
        window.volume,
        pointer(words),
        pointer(candidates),
    )
    if marks and pairs <= tuning.few_pairs and words.shape[0] <= tuning.few_words:
        return _find_few(inputs, grid_size, touch, words, min(pairs, size))
    words.zero_()
    inputs.launch(launching.TOUCH_OUTPUTS, (blocks_of(inputs.count), window.volume), touch)
    keys = None if candidates is None else candidates.sort().values
    if keys is not None:
        runs = structures.FirstOfRuns(pointer(keys), pointer(words), pairs)
        inputs.launch(launching.MARK_FIRST_OF_RUNS, (blocks_of(pairs),), runs)
    return _emit(inputs, grid_size, words, keys)


def _find_few(
    inputs: Places, grid_size: Axes, touch: structures.Touch, words: Tensor, most: int
) -> Places:
    """Do it all in one launch, into memory for as many sites as there can be."""
    ranks = torch.empty_like(words)
    number = inputs.empty(1, torch.int64)
    room = inputs.empty_sites(most, len(grid_size))
    ranking = structures.Ranking(
        pointer(words),
        words.shape[0],
        None,
        pointer(number),
        0,
        pointer(ranks),
        None,
        touch.outputs,
        structures.coordinates(room),
    )
    inputs.launch(launching.FIND_FEW_OUTPUTS, (1,), structures.FewOutputs(touch, ranking))
    return inputs.others(room[: read_back(number)], grid_size, (words, ranks))


def _emit(inputs: Places, grid_size: Axes, words: Tensor, keys: Tensor | None) -> Places:
    """Number the set bits; each is an output site, by its own number or by a key in `keys`."""
    tiles = math.ceil(words.shape[0] / TILE_WORDS)
    tile_counts = inputs.empty(tiles, torch.int32)
    tile_starts = inputs.empty(tiles + 1, torch.int64)
    ranks = torch.empty_like(words) if keys is None else None
    ranking = structures.Ranking(
        pointer(words),
        words.shape[0],
        pointer(tile_counts),
        pointer(tile_starts),
        tiles,
        pointer(ranks),
        pointer(keys),
        structures.grid(grid_size),
    )
    inputs.launch(launching.COUNT_TILES, (tiles,), ranking)
    inputs.launch(launching.ADD_UP_TILES, (1,), ranking)
    count = read_back(tile_starts[-1])
    check_count(count)
    sites = inputs.empty_sites(count, len(grid_size))
    ranking.sites = structures.coordinates(sites)
    inputs.launch(launching.EMIT_SITES, (tiles,), ranking)
    index = None if ranks is None else (words, ranks)
    return inputs.others(sites, grid_size, index)


def read_back(number: Tensor) -> int:
    """Wait for the device and read one number: the only place in this package that does."""
    return int(number)
