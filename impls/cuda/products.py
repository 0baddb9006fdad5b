"""Matrix products over a kernel map: which kernel computes them, and in how many blocks."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from bench.dtypes import tf32_is_allowed
from bench.rounding import HALF_ROUNDINGS, HALF_TYPES, unit_roundoff
from impls.cuda import launching, structures
from impls.cuda.launching import Kernel
from impls.cuda.places import Places, blocks_of
from impls.cuda.shapes import MEASURED_BLOCKS_EACH, Launch, Problem, Shape
from impls.cuda.sites import KernelMap, View
from impls.cuda.structures import pointer
from impls.cuda.tiles import COPIED_BYTES, TYPES, Family, Tile, Tiles, choose_family, copied_bytes


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
    launch = ProductLaunch(product, places)
    return launch.run(places.chooser.choose(launch))


def prepare(product: Product, places: Places) -> None:
    """Sort what its kernel wants sorted, so that this is not left to the first launch."""
    launch = ProductLaunch(product, places)
    launch.view(places.chooser.choose(launch))


@dataclass(frozen=True, eq=False)
class ProductLaunch(Launch):
    """A product at some sites."""

    product: Product
    places: Places

    def problem(self) -> Problem:
        """One for each kind of product, its channels and offsets, and some numbers of rows."""
        product = self.product
        return Problem(
            "gradient at the input" if product.backwards else "convolution",
            product.features.dtype,
            self.family,
            product.features.shape[1],
            product.out_channels,
            product.weight.shape[0],
            product.rows.bit_length(),
            product.features.device,
        )

    def rule(self) -> Shape:
        """Few threads a row where channels are few and shared memory holds all weights; else tiles.

        Tiles are large, so that features and weights are read less often, where there are enough.
        """
        product, tuning = self.product, self.places.tuning
        ins, outs = product.features.shape[1], product.out_channels
        is_narrow = max(ins, outs) <= tuning.few_channels and self._weights_fit()
        if is_narrow and self.family is not Family.TENSOR_CORES:
            return Shape(Family.FEW, None, tuning.blocks_each)
        least = busy_blocks(self.places, tuning.tiles_each)
        tile = self._tiles.choose(product.rows, outs, least)
        return Shape(self.family, tile, tuning.blocks_each)

    def candidates(self) -> list[Shape]:
        """All tiles of its kernel that are not too wide, and few threads a row where weights fit."""
        kinds: list[tuple[Family, Tile | None]] = [
            (self.family, tile) for tile in self._tiles.fitting(self.product.out_channels)
        ]
        if self._weights_fit():
            kinds.append((Family.FEW, None))
        found = [Shape(*kind, each) for kind in kinds for each in MEASURED_BLOCKS_EACH]
        return [self.rule(), *found]

    def launched(self, shape: Shape) -> Hashable:
        """Tile and blocks."""
        return shape.tile, self._blocks(shape)

    def compile(self, shape: Shape) -> None:
        """Its kernel, and what rounds the weight and adds up shares."""
        self.places.compile(self._kernel(shape))
        if self._is_rounded(shape):
            self.places.compile(launching.round_weight(transposed=not self.product.backwards))
        self.places.compile(launching.finish_shares(self.product.features.dtype))

    def run(self, shape: Shape) -> Tensor:
        """Launch its kernel, and what rounds the weight or adds up shares where this is to be done."""
        product, places = self.product, self.places
        features, weight = product.features, product.weight
        if self._is_rounded(shape):
            weight = self._rounded_weight()
        output = features.new_empty((product.rows, product.out_channels))
        blocks = self._blocks(shape)
        splits = blocks[2]
        shares = None
        if splits > 1:
            shares = output.new_empty((splits, *output.shape), dtype=sum_type(output.dtype))
        view = self.view(shape)
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
            weight.shape[0],
            features.shape[1],
            product.out_channels,
            view.turned_round,
            splits,
        )
        places.launch(self._kernel(shape), blocks, parameters)
        if shares is not None:
            finish = launching.finish_shares(output.dtype)
            places.launch(finish, (blocks_of(output.numel()),), parameters)
        return output

    def allowed(self) -> Tensor:
        """Roundings of the sums of |x||w|, and of |b|."""
        product = self.product
        absolute = replace(
            product,
            features=product.features.abs(),
            weight=product.weight.abs(),
            bias=None if product.bias is None else product.bias.abs(),
        )
        magnitude = ProductLaunch(absolute, self.places).run(self.rule())
        terms = product.weight.shape[0] * product.features.shape[1]
        return rounding(magnitude, terms, tensor_cores=self.family is Family.TENSOR_CORES)

    def view(self, shape: Shape) -> View:
        """Rows with the same neighbours share tiles; where there are no tiles, nothing is shared."""
        kernel_map, backwards = self.product.kernel_map, self.product.backwards
        if shape.tile is not None:
            return kernel_map.grouped(backwards=backwards)
        return kernel_map.back() if backwards else View(kernel_map.table)

    def _kernel(self, shape: Shape) -> Kernel:
        dtype, transposed = self.product.features.dtype, self.product.backwards
        if shape.tile is None:
            return launching.few_channels(dtype, transposed=transposed)
        transposed = transposed or self._is_rounded(shape)
        copied = copied_bytes(*self._operands) or COPIED_BYTES
        return launching.convolution(
            shape.family, dtype, shape.tile, transposed=transposed, copied=copied
        )

    def _blocks(self, shape: Shape) -> tuple[int, int, int]:
        """As many as rows keep busy; or tiles, and splits of the offsets where tiles are too few."""
        product, places = self.product, self.places
        busy = busy_blocks(places, shape.blocks_each)
        if shape.tile is None:
            groups = math.ceil(product.out_channels / launching.FEW_COLUMNS)
            return min(blocks_of(product.rows * groups), busy), 1, 1
        rows = math.ceil(product.rows / shape.tile.rows)
        columns = math.ceil(product.out_channels / shape.tile.columns)
        wanted = busy // max(1, rows * columns)
        most = product.weight.shape[0] // places.tuning.share_offsets
        return rows, columns, max(1, min(wanted, most))

    def _is_rounded(self, shape: Shape) -> bool:
        """Whether its kernel wants the weight rounded to tf32 and transposed."""
        return launching.is_tf32(shape.family, self.product.features.dtype)

    def _rounded_weight(self) -> Tensor:
        """Round to tf32, for all tiles of rows at once; `[K, C_out, C_in]`, as it is backwards."""
        weight = self.product.weight
        rounded = torch.empty_like(weight)
        offsets, rows, columns = weight.shape
        parameters = structures.WeightRounding(pointer(weight), pointer(rounded), rows, columns)
        tiles = [math.ceil(side / launching.ROUNDED_SIDE) for side in (columns, rows)]
        kernel = launching.round_weight(transposed=not self.product.backwards)
        self.places.launch(kernel, (*tiles, offsets), parameters)
        return rounded

    def _weights_fit(self) -> bool:
        """Whether `convolve_few` can hold them."""
        offsets, *_ = self.product.weight.shape
        ins, outs = self.product.features.shape[1], self.product.out_channels
        width = math.ceil(outs / launching.FEW_COLUMNS) * launching.FEW_COLUMNS
        return offsets * ins * width <= launching.MOST_FEW_WEIGHTS

    @property
    def _tiles(self) -> Tiles:
        """Of its family, that the device's shared memory holds."""
        places = self.places
        most = places.launcher.shared_bytes(places.coordinates.device)
        return launching.tiles_within(self.family, most)

    @property
    def _operands(self) -> tuple[tuple[Tensor, int], tuple[Tensor, int]]:
        product = self.product
        return (product.features, product.features.shape[1]), (product.weight, product.out_channels)

    @cached_property
    def family(self) -> Family:
        """Of the kernel that multiplies by tiles."""
        product = self.product
        return choose_family(
            *self._operands,
            scale=product.scale,
            tensor_cores=product.tensor_cores,
            least_channels=self.places.tuning.tensor_core_channels,
        )


def may_use_tensor_cores(dtype: torch.dtype) -> bool:
    """Whether they compute a type as exactly as the user asks for.

    They round float32 to tf32's 10 fraction bits, so float32 stays away from them unless torch is told
    that matrix products need not be exact: `torch.set_float32_matmul_precision("high")`.
    """
    if dtype is not torch.float32:
        return dtype in TYPES[Family.TENSOR_CORES]
    return tf32_is_allowed()


def busy_blocks(places: Places, each: int) -> int:
    """Blocks of the whole device, so many a multiprocessor."""
    return each * places.launcher.multiprocessors(places.coordinates.device)


def rounding(magnitude: Tensor, terms: int, *, tensor_cores: bool) -> Tensor:
    """How far two sums may lie apart, each as far from the exact one as its type allows.

    Args:
        magnitude: sums of the terms' absolute values, in the type that sums are rounded to.
        terms: of a sum, at most.
        tensor_cores: whether float32 may be rounded to tf32, with as many fraction bits as float16.
    """
    dtype = magnitude.dtype
    if dtype is torch.float32 and tensor_cores:
        dtype = torch.float16
    roundings = HALF_ROUNDINGS if dtype in HALF_TYPES else 8 + 2 * math.sqrt(terms)
    info = torch.finfo(magnitude.dtype)
    return 2 * roundings * unit_roundoff(dtype) * magnitude.to(sum_type(dtype)) + info.tiny * terms


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """In what sums of a type's products are taken."""
    return torch.float64 if dtype is torch.float64 else torch.float32
