"""Which kernels there are, and what launches them."""

from abc import ABC, abstractmethod
from ctypes import Structure
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

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
    """

    file: str
    name: str
    threads: int = 256


@dataclass(frozen=True)
class Tile:
    """A block's share of a matrix product, and a thread's share of that.

    Attributes:
        rows: of the block's share.
        columns: of the block's share.
        rows_each: of a thread's share.
        columns_each: of a thread's share.
        stages: steps that lie in shared memory at a time, where asynchronous copies bring them.
    """

    rows: int
    columns: int
    rows_each: int
    columns_each: int
    stages: int = 1

    def __str__(self) -> str:
        """The block's share, as tables of choices name it."""
        return f"{self.rows}x{self.columns}"

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.rows // self.rows_each * (self.columns // self.columns_each)

    @property
    def arguments(self) -> str:
        """Of the kernel's template."""
        return f"{self.rows}, {self.columns}, {self.rows_each}, {self.columns_each}"


CONVOLUTION_TILES = (Tile(64, 16, 4, 2), Tile(64, 64, 4, 4))
"""By rising number of columns: output channels."""
COPIED_TILES = (Tile(64, 16, 4, 4, 3), Tile(64, 32, 8, 4, 3), Tile(64, 64, 8, 8, 3))
"""Of float32 without tensor cores, where asynchronous copies can bring rows."""
MEASURED_COPIED_TILES = (Tile(128, 64, 8, 8, 2), Tile(128, 128, 8, 8, 2))
"""Chosen by measuring only, as all tables of this name."""
COPIED_GRADIENT_TILES = (Tile(32, 32, 4, 4, 3), Tile(64, 64, 8, 8, 3))
"""By rising number of input x output channels, as all tiles of gradients at the weights."""
MEASURED_COPIED_GRADIENT_TILES = (Tile(128, 128, 8, 8, 2),)
WEIGHT_GRADIENT_TILES = (Tile(16, 16, 1, 1), Tile(64, 64, 4, 4))
"""By rising number of input x output channels."""
MEASURED_WEIGHT_GRADIENT_TILES = (Tile(32, 32, 2, 2),)
MOST_FEW_WEIGHTS = 4096
"""Elements of a weight that `convolve_few` holds in shared memory."""
FEW_COLUMNS = 4
"""Output channels that one thread of `convolve_few` computes."""

TENSOR_CORE_TYPES = (torch.float16, torch.bfloat16, torch.float32)
"""Float32 is rounded to tf32 there."""
COPIED_BYTES = 16
"""Copied at a time: a row of channels must be a multiple of it."""
TENSOR_CORE_TILES = (Tile(64, 32, 4, 4, 3), Tile(64, 64, 4, 8, 3))
"""By rising number of columns: output channels."""
MEASURED_TENSOR_CORE_TILES = (
    Tile(128, 64, 4, 8, 2),
    Tile(64, 128, 4, 16, 2),
    Tile(128, 128, 4, 16, 2),
)
TENSOR_CORE_GRADIENT_TILES = (Tile(32, 32, 4, 2, 3), Tile(64, 64, 8, 4, 3))
"""By rising number of input x output channels."""
MEASURED_TENSOR_CORE_GRADIENT_TILES = (Tile(128, 128, 16, 8, 2),)


@cache
def convolve_tensor_cores(dtype: torch.dtype, tile: Tile, *, transposed: bool) -> Kernel:
    """Implicit GEMM on tensor cores."""
    shape = f"{tile.rows}, {tile.columns}, {tile.stages}"
    name = f"convolve_tensor_cores<{VALUE_TYPES[dtype]}, {shape}, {_literal(transposed)}>"
    return Kernel("convolve_tensor_cores.cu", name, tile.threads)


@cache
def convolve_copied(tile: Tile, *, transposed: bool) -> Kernel:
    """Implicit GEMM in float32, fed by asynchronous copies."""
    arguments = f"{tile.arguments}, {tile.stages}, {_literal(transposed)}"
    return Kernel("convolve_copied.cu", f"convolve_copied<{arguments}>", tile.threads)


ALL_COPIED_TILES = COPIED_TILES + MEASURED_COPIED_TILES
ALL_COPIED_GRADIENT_TILES = COPIED_GRADIENT_TILES + MEASURED_COPIED_GRADIENT_TILES
ALL_TENSOR_CORE_TILES = TENSOR_CORE_TILES + MEASURED_TENSOR_CORE_TILES
ALL_WEIGHT_GRADIENT_TILES = WEIGHT_GRADIENT_TILES + MEASURED_WEIGHT_GRADIENT_TILES
ALL_TENSOR_CORE_GRADIENT_TILES = TENSOR_CORE_GRADIENT_TILES + MEASURED_TENSOR_CORE_GRADIENT_TILES


@cache
def convolve_tiles(dtype: torch.dtype, tile: Tile, *, transposed: bool) -> Kernel:
    """Implicit GEMM, with the weight as stored or transposed."""
    arguments = f"{VALUE_TYPES[dtype]}, {tile.arguments}, {_literal(transposed)}"
    return Kernel("convolve_tiles.cu", f"convolve_tiles<{arguments}>", tile.threads)


@cache
def convolve_few(dtype: torch.dtype, *, transposed: bool) -> Kernel:
    """Convolution of few channels."""
    value = VALUE_TYPES[dtype]
    arguments = f"{value}, {MOST_FEW_WEIGHTS}, {FEW_COLUMNS}, {_literal(transposed)}"
    return Kernel("convolve_few.cu", f"convolve_few<{arguments}>")


@cache
def finish_shares(dtype: torch.dtype) -> Kernel:
    """Sum over all offsets, where blocks summed over some."""
    return Kernel("finish_shares.cu", f"finish_shares<{VALUE_TYPES[dtype]}>")


@cache
def weight_gradient(dtype: torch.dtype, tile: Tile) -> Kernel:
    """Shares of the gradient at the weights."""
    arguments = f"{VALUE_TYPES[dtype]}, {tile.arguments}"
    return Kernel("weight_gradient.cu", f"weight_gradient<{arguments}>", tile.threads)


@cache
def weight_gradient_copied(tile: Tile) -> Kernel:
    """Shares of the gradient at the weights in float32, fed by asynchronous copies."""
    arguments = f"{tile.columns}, {tile.rows_each}, {tile.columns_each}, {tile.stages}"
    return Kernel("weight_gradient_copied.cu", f"weight_gradient_copied<{arguments}>", tile.threads)


@cache
def weight_gradient_tensor_cores(dtype: torch.dtype, tile: Tile) -> Kernel:
    """Shares of the gradient at the weights on tensor cores."""
    arguments = f"{VALUE_TYPES[dtype]}, {tile.columns}, {tile.stages}"
    name = f"weight_gradient_tensor_cores<{arguments}>"
    return Kernel("weight_gradient_tensor_cores.cu", name, tile.threads)


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
LOOK_UP_INPUTS = Kernel("table.cu", "look_up_inputs")
LOOK_UP_OUTPUTS = Kernel("table.cu", "look_up_outputs")
NEIGHBOUR_KEYS = Kernel("table.cu", "neighbour_keys")


def all_kernels() -> list[Kernel]:
    """Every instantiation that may ever be launched."""
    kernels = [MARK_SITES, INSERT_SITES, TOUCH_OUTPUTS, MARK_FIRST_OF_RUNS, COUNT_TILES]
    kernels += [ADD_UP_TILES, EMIT_SITES, LOOK_UP_INPUTS, LOOK_UP_OUTPUTS, NEIGHBOUR_KEYS]
    for transposed in (False, True):
        kernels += [convolve_copied(tile, transposed=transposed) for tile in ALL_COPIED_TILES]
    kernels += [weight_gradient_copied(tile) for tile in ALL_COPIED_GRADIENT_TILES]
    for dtype in VALUE_TYPES:
        for transposed in (False, True):
            kernels += [
                convolve_tiles(dtype, tile, transposed=transposed) for tile in CONVOLUTION_TILES
            ]
            kernels.append(convolve_few(dtype, transposed=transposed))
            if dtype in TENSOR_CORE_TYPES:
                kernels += [
                    convolve_tensor_cores(dtype, tile, transposed=transposed)
                    for tile in ALL_TENSOR_CORE_TILES
                ]
        if dtype in TENSOR_CORE_TYPES:
            kernels += [
                weight_gradient_tensor_cores(dtype, tile) for tile in ALL_TENSOR_CORE_GRADIENT_TILES
            ]
        kernels += [weight_gradient(dtype, tile) for tile in ALL_WEIGHT_GRADIENT_TILES]
        kernels += [finish_shares(dtype), add_shares(dtype), pool(dtype), pool_gradient(dtype)]
    return kernels


class Launcher(ABC):
    """Starts kernels on tensors of one kind of device."""

    @abstractmethod
    def multiprocessors(self, device: torch.device) -> int:
        """Number of multiprocessors: how many blocks keep a device busy."""

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
