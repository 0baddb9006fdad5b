"""Which kernels there are, and what launches them."""

from abc import ABC, abstractmethod
from ctypes import Structure
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from impls.cuda.tiles import (
    CONVOLUTION,
    COPIED_BYTES,
    TYPES,
    WEIGHT_GRADIENT,
    Family,
    Tile,
    Tiles,
)

FOLDER = Path(__file__).parents[2] / "kernels"
VALUE_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.float16: "Half",
    torch.bfloat16: "BFloat",
}
"""Element types, as kernels/ptx.cuh calls them."""


@dataclass(frozen=True)
class Kernel:
    """One instantiation of a kernel.

    Attributes:
        file: in kernels/.
        name: C++ expression, template arguments included.
        threads: of a block.
        shared_bytes: of a block, that the launch must give.
    """

    file: str
    name: str
    threads: int = 256
    shared_bytes: int = 0


MOST_FEW_WEIGHTS = 4096
"""Elements of a weight that `convolve_few` holds in shared memory."""
FEW_COLUMNS = 4
"""Output channels that one thread of `convolve_few` computes."""
STEP_BYTES = 64
"""Of a row, that the kernels fed by copies multiply at a time (kernels/steps.cuh)."""
LOOKED_UP = 32
"""Offsets whose rows they look up at a time."""
ROUNDED_SIDE = 32
"""Rows and columns of a matrix that a block of `round_weight` rounds."""


def is_tf32(family: Family, dtype: torch.dtype) -> bool:
    """Whether a convolution wants its weight rounded, and transposed whatever its direction."""
    return family is Family.TENSOR_CORES and dtype is torch.float32


@cache
def few_channels(dtype: torch.dtype, *, transposed: bool) -> Kernel:
    """Convolution of few channels, with the weight as stored or transposed."""
    arguments = f"{VALUE_TYPES[dtype]}, {MOST_FEW_WEIGHTS}, {FEW_COLUMNS}, {_literal(transposed)}"
    return Kernel("convolve_few.cu", f"convolve_few<{arguments}>")


@cache
def convolution(
    family: Family, dtype: torch.dtype, tile: Tile, *, transposed: bool, copied: int = COPIED_BYTES
) -> Kernel:
    """Implicit GEMM, likewise."""
    shared_bytes = _steps_bytes(tile)
    if family is Family.TENSOR_CORES:
        name = "convolve_tensor_cores"
        arguments = f"{VALUE_TYPES[dtype]}, {tile.arguments}, {tile.stages}"
    elif family is Family.COPIED:
        name, arguments = "convolve_copied", f"{tile.arguments}, {tile.stages}"
    else:
        name, arguments = "convolve_tiles", f"{VALUE_TYPES[dtype]}, {tile.arguments}"
        shared_bytes = 0
    tail = "" if family is Family.TILES else f", {copied}"
    expression = f"{name}<{arguments}, {_literal(transposed)}{tail}>"
    return Kernel(f"{name}.cu", expression, tile.threads, shared_bytes)


def _steps_bytes(tile: Tile) -> int:
    """Of `Steps` in kernels/steps.cuh: both operands, rows seen, and a word an offset and a row."""
    operands = tile.stages * STEP_BYTES * (tile.rows + tile.columns)
    return operands + 4 * (LOOKED_UP * tile.rows + LOOKED_UP + tile.rows)


@cache
def tiles_within(family: Family, shared_bytes: int) -> Tiles:
    """Tiles of a convolution whose operands fit into so much shared memory of a block."""
    tiles = CONVOLUTION[family]
    if family is Family.TILES:  # which hold one step, and less than any device has
        return tiles

    def fitting(some: tuple[Tile, ...]) -> tuple[Tile, ...]:
        return tuple(tile for tile in some if _steps_bytes(tile) <= shared_bytes)

    return Tiles(*map(fitting, (tiles.by_rule, tiles.by_measuring, tiles.of_many)))


@cache
def round_weight(*, transposed: bool) -> Kernel:
    """The weight of a product in tf32, rounded before it is multiplied."""
    return Kernel("round_weight.cu", f"round_weight<{_literal(transposed)}>")


@cache
def weight_gradient(
    family: Family, dtype: torch.dtype, tile: Tile, *, copied: int = COPIED_BYTES
) -> Kernel:
    """Shares of the gradient at the weights."""
    if family is Family.TENSOR_CORES:
        name = "weight_gradient_tensor_cores"
        arguments = f"{VALUE_TYPES[dtype]}, {tile.columns}, {tile.stages}, {copied}"
    elif family is Family.COPIED:
        name = "weight_gradient_copied"
        arguments = (
            f"{tile.columns}, {tile.rows_each}, {tile.columns_each}, {tile.stages}, {copied}"
        )
    else:
        name, arguments = "weight_gradient", f"{VALUE_TYPES[dtype]}, {tile.arguments}"
    return Kernel(f"{name}.cu", f"{name}<{arguments}>", tile.threads)


@cache
def finish_shares(dtype: torch.dtype) -> Kernel:
    """Sum over all offsets, where blocks summed over some."""
    return Kernel("finish_shares.cu", f"finish_shares<{VALUE_TYPES[dtype]}>")


@cache
def add_shares(dtype: torch.dtype) -> Kernel:
    """Sum of those shares."""
    return Kernel("weight_gradient.cu", f"add_shares<{VALUE_TYPES[dtype]}>")


@cache
def pool(dtype: torch.dtype) -> Kernel:
    """Max pooling."""
    return Kernel("pooling.cu", f"pool<{VALUE_TYPES[dtype]}>")


@cache
def pool_gradient(dtype: torch.dtype) -> Kernel:
    """Its gradient."""
    return Kernel("pooling.cu", f"pool_gradient<{VALUE_TYPES[dtype]}>")


MARK_SITES = Kernel("index.cu", "mark_sites")
INSERT_SITES = Kernel("index.cu", "insert_sites")
TOUCH_OUTPUTS = Kernel("outputs.cu", "touch_outputs")
MARK_FIRST_OF_RUNS = Kernel("outputs.cu", "mark_first_of_runs")
COUNT_TILES = Kernel("outputs.cu", "count_tiles")
ADD_UP_TILES = Kernel("outputs.cu", "add_up_tiles")
EMIT_SITES = Kernel("outputs.cu", "emit_sites")
FIND_FEW_OUTPUTS = Kernel("outputs.cu", "find_few_outputs", threads=1024)
LOOK_UP_INPUTS = Kernel("table.cu", "look_up_inputs")
LOOK_UP_ALL_IN_BITMAP = Kernel("table.cu", "look_up_all_inputs<unsigned>")
LOOK_UP_ALL_IN_HASH_TABLE = Kernel("table.cu", "look_up_all_inputs<long long>")
LOOK_UP_OUTPUTS = Kernel("table.cu", "look_up_outputs")
NEIGHBOUR_KEYS = Kernel("table.cu", "neighbour_keys")
COUNT_PAIRS = Kernel("count_pairs.cu", "count_pairs")


def _copied_bytes(family: Family, dtype: torch.dtype) -> tuple[int, ...]:
    """What a copy may bring; tiles that are not fed by copies have one kernel."""
    return (COPIED_BYTES,) if family is Family.TILES else (COPIED_BYTES, 2 * dtype.itemsize)


def all_kernels() -> list[Kernel]:
    """Every instantiation that may ever be launched."""
    kernels = [MARK_SITES, INSERT_SITES, TOUCH_OUTPUTS, MARK_FIRST_OF_RUNS]
    kernels += [COUNT_TILES, ADD_UP_TILES, EMIT_SITES, FIND_FEW_OUTPUTS]
    kernels += [LOOK_UP_INPUTS, LOOK_UP_ALL_IN_BITMAP, LOOK_UP_ALL_IN_HASH_TABLE]
    kernels += [LOOK_UP_OUTPUTS, NEIGHBOUR_KEYS, COUNT_PAIRS]
    kernels += [
        convolution(family, dtype, tile, transposed=transposed, copied=copied)
        for family, tiles in CONVOLUTION.items()
        for tile in tiles.all
        for dtype in TYPES[family]
        for transposed in (False, True)
        for copied in _copied_bytes(family, dtype)
        if transposed or not is_tf32(family, dtype)
    ]
    kernels += [round_weight(transposed=transposed) for transposed in (False, True)]
    kernels += [
        weight_gradient(family, dtype, tile, copied=copied)
        for family, tiles in WEIGHT_GRADIENT.items()
        for tile in tiles.all
        for dtype in TYPES[family]
        for copied in _copied_bytes(family, dtype)
    ]
    for dtype in VALUE_TYPES:
        kernels += [few_channels(dtype, transposed=transposed) for transposed in (False, True)]
        kernels += [finish_shares(dtype), add_shares(dtype), pool(dtype), pool_gradient(dtype)]
    return kernels


class Launcher(ABC):
    """Starts kernels on tensors of one kind of device."""

    @abstractmethod
    def multiprocessors(self, device: torch.device) -> int:
        """Number of multiprocessors: how many blocks keep a device busy."""

    @abstractmethod
    def shared_bytes(self, device: torch.device) -> int:
        """Most shared memory that a launch can give a block."""

    @abstractmethod
    def compile(self, kernel: Kernel, device: torch.device) -> None:
        """Have a kernel ready, so that its first launch takes no longer than others."""

    @abstractmethod
    def launch(
        self,
        kernel: Kernel,
        blocks: tuple[int, int, int],
        parameters: Structure,
        device: torch.device,
    ) -> None:
        """Start a kernel of one parameter, in order with what torch runs on the device.

        Args:
            kernel: one of `all_kernels`.
            blocks: along x, y and z; none is 0.
            parameters: the kernel's, laid out as in its file; the tensors that it points to must be
                alive until the call returns, as torch's allocator keeps to the stream's order.
            device: that these tensors are on.
        """


def _literal(flag: bool) -> str:  # a value, spelt in another language
    return "true" if flag else "false"
