"""Matrix products over a kernel map: which kernel computes them, and in how many blocks."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.dtypes import tf32_is_allowed
from impls.cuda import launching, structures
from impls.cuda.launching import Kernel, Tile
from impls.cuda.places import Places, blocks_of
from impls.cuda.sites import KernelMap, View
from impls.cuda.structures import pointer


@dataclass(frozen=True, eq=False)
class Product:
    """Sum of `features[row seen] @ weight[offset]` over what each row sees.

    Attributes:
        features: `[N, C_in]`, contiguous.
        weight: `[K, C_in, C_out]`, contiguous; backwards `[K, C_out, C_in]`, whose matrices are
            transposed.
        kernel_map: of N input and M output rows; backwards of M input and N output rows.
        tensor_cores: whether they may compute it; see `may_use_tensor_cores`.
        backwards: whether it is the gradient at the input.
        bias: `[C_out]`, or None.
        scale: `[N]` that feature rows are multiplied by, or None.
        normalisation: `[M]`, to be filled with what each sum is multiplied by: one over its number of
            terms (Uhrig et al. 2017); or None.
    """

    features: Tensor
    weight: Tensor
    kernel_map: KernelMap
    tensor_cores: bool
    backwards: bool = False
    bias: Tensor | None = None
    scale: Tensor | None = None
    normalisation: Tensor | None = None

    @property
    def rows(self) -> int:
        """M."""
        return self.kernel_map.inputs if self.backwards else self.kernel_map.outputs

    @property
    def out_channels(self) -> int:
        """C_out."""
        return self.weight.shape[1 if self.backwards else 2]


def multiply(product: Product, places: Places) -> Tensor:
    """Launch it; the result is `[M, C_out]`, in the features' type."""
    features, weight = product.features, product.weight
    output = features.new_empty((product.rows, product.out_channels))
    kernel, tile = _choose(product, places)
    blocks = _row_blocks(product, places) if tile is None else _tile_blocks(product, tile, places)
    splits = blocks[2]
    shares = None
    if splits > 1:
        shares = output.new_empty((splits, *output.shape), dtype=sum_type(output.dtype))
    view = _view(product, tile)
    parameters = structures.Convolution(
        pointer(features),
        pointer(weight),
        pointer(product.bias),
        pointer(view.table),
        pointer(view.order),
        pointer(product.scale),
        pointer(product.normalisation),
        pointer(output),
        pointer(shares),
        product.rows,
        len(weight),
        features.shape[1],
        product.out_channels,
        view.turned_round,
        splits,
    )
    places.launch(kernel, blocks, parameters)
    if shares is not None:
        finish = launching.finish_shares(output.dtype)
        places.launch(finish, (blocks_of(output.numel()),), parameters)
    return output


def prepare(product: Product, places: Places) -> None:
    """Sort what its kernel wants sorted, so that this is not left to the first launch."""
    _view(product, _choose(product, places)[1])


def _view(product: Product, tile: Tile | None) -> View:
    """Rows with the same neighbours share tiles; where there are no tiles, nothing is shared."""
    kernel_map, backwards = product.kernel_map, product.backwards
    if tile is not None:
        return kernel_map.grouped(backwards=backwards)
    return kernel_map.back() if backwards else View(kernel_map.table)


def _choose(product: Product, places: Places) -> tuple[Kernel, Tile | None]:
    """Few threads a row where channels are few and all weights fit shared memory; tiles elsewhere."""
    dtype, transposed = product.features.dtype, product.backwards
    ins, outs = product.features.shape[1], product.out_channels
    if _fits_tensor_cores(product, places):
        tile = narrowest(launching.TENSOR_CORE_TILES, outs)
        return launching.convolve_tensor_cores(dtype, tile, transposed=transposed), tile
    few = max(ins, outs) <= places.tuning.few_channels
    if few and product.weight.numel() <= launching.MOST_FEW_WEIGHTS:
        return launching.convolve_few(dtype, transposed=transposed), None
    tile = narrowest(launching.convolution_tiles(dtype), outs)
    return launching.convolve_tiles(dtype, tile, transposed=transposed), tile


def _fits_tensor_cores(product: Product, places: Places) -> bool:
    return (
        product.tensor_cores
        and product.scale is None
        and can_be_copied(product.features, product.features.shape[1], places)
        and can_be_copied(product.weight, product.out_channels, places)
    )


def may_use_tensor_cores(dtype: torch.dtype) -> bool:
    """Whether they compute a type as exactly as the user asks for.

    They round float32 to tf32's 10 fraction bits, so float32 stays away from them unless torch is told
    that matrix products need not be exact: `torch.set_float32_matmul_precision("high")`.
    """
    if dtype is not torch.float32:
        return dtype in launching.TENSOR_CORE_TYPES
    return tf32_is_allowed()


def can_be_copied(tensor: Tensor, channels: int, places: Places) -> bool:
    """Whether asynchronous copies can bring rows of so many channels, enough to fill tensor cores."""
    row_bytes = channels * tensor.element_size()
    return (
        channels >= places.tuning.tensor_core_channels
        and row_bytes % launching.TENSOR_CORE_BYTES == 0
        and tensor.data_ptr() % launching.TENSOR_CORE_BYTES == 0
    )


def _row_blocks(product: Product, places: Places) -> tuple[int, int, int]:
    """Of a kernel whose blocks go on until no rows are left."""
    groups = math.ceil(product.out_channels / launching.FEW_COLUMNS)
    return min(blocks_of(product.rows * groups), busy_blocks(places)), 1, 1


def _tile_blocks(product: Product, tile: Tile, places: Places) -> tuple[int, int, int]:
    """Tiles of rows and columns; splits of the offsets where tiles are too few for the device."""
    rows = math.ceil(product.rows / tile.rows)
    columns = math.ceil(product.out_channels / tile.columns)
    wanted = busy_blocks(places) // max(1, rows * columns)
    most = len(product.weight) // places.tuning.share_offsets
    return rows, columns, max(1, min(wanted, most))


def narrowest(tiles: tuple[Tile, ...], channels: int) -> Tile:
    """Choose the narrowest that holds so many channels, or the widest."""
    return next((tile for tile in tiles if channels <= tile.columns), tiles[-1])


def busy_blocks(places: Places) -> int:
    """Blocks that keep the device busy."""
    device = places.coordinates.device
    return places.tuning.blocks_each * places.launcher.multiprocessors(device)


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """In what sums of a type's products are taken."""
    return torch.float64 if dtype is torch.float64 else torch.float32
