"""Convolution and max pooling over a kernel map, with their gradients."""

import math
from typing import Any

import torch
from torch import Tensor

from impls.cuda import launching, structures
from impls.cuda.launching import Kernel, Tile
from impls.cuda.places import Places, blocks_of
from impls.cuda.sites import KernelMap
from impls.cuda.structures import pointer

MOST_SHARES = 65535
"""Blocks along the grid's z axis."""


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernel_map: KernelMap,
    places: Places,
    *,
    invariant: bool = False,
) -> Tensor:
    """Sum of `features[input] @ weight[offset]` over each output row's pairs, plus the bias.

    Sums are taken in float32 for half types, in the features' own type otherwise, and rounded once.
    Under autocast everything but float64 is cast to its type first, as torch's own convolutions do.

    Args:
        features: `[N, C_in]`.
        weight: `[K, C_in, C_out]`.
        bias: `[C_out]`, or None.
        kernel_map: of N input and M output rows.
        places: what launches, and how it is tuned.
        invariant: divide by the number of pairs before the bias is added (Uhrig et al. 2017).

    Returns:
        `[M, C_out]`.

    Raises:
        TypeError: if features, weight and bias are not of one type.
    """
    if torch.is_autocast_enabled(features.device.type):
        features, weight = _autocast(features), _autocast(weight)
        bias = None if bias is None else _autocast(bias)
    types = [each.dtype for each in (features, weight, bias) if each is not None]
    if len(set(types)) > 1:
        found = ", ".join(map(str, types))
        raise TypeError(f"features, weight and bias must be of one type, not {found}: convert them")
    arguments = (features, weight, bias, kernel_map, places, invariant)
    result: Tensor = _Convolve.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def pool(features: Tensor, kernel_map: KernelMap, places: Places) -> Tensor:
    """Max pooling, the first largest in torch's order: `[N, C]` to `[M, C]`."""
    result: Tensor = _Pool.apply(features, kernel_map, places)  # type: ignore[no-untyped-call]
    return result


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        kernel_map: KernelMap,
        places: Places,
        invariant: bool,  # autograd passes arguments by position
    ) -> Tensor:
        features, weight = features.contiguous(), weight.contiguous()
        normalisation = None
        if invariant:
            normalisation = features.new_empty(kernel_map.outputs, dtype=_sum_type(features))
        output = features.new_empty((kernel_map.outputs, weight.shape[2]))
        parameters = structures.Convolution(
            pointer(features),
            pointer(weight),
            pointer(bias),
            pointer(kernel_map.table),
            None,
            pointer(normalisation),
            pointer(output),
            kernel_map.outputs,
            kernel_map.offsets,
            weight.shape[1],
            weight.shape[2],
            0,
        )
        _launch_convolution(parameters, features.dtype, places, transposed=False)
        ctx.save_for_backward(features, weight, normalisation)
        ctx.kernel_map = kernel_map
        ctx.places = places
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        features, weight, scale = ctx.saved_tensors
        upstream = upstream.contiguous()
        at_features = at_weight = at_bias = None
        if ctx.needs_input_grad[0]:
            at_features = _input_gradient(upstream, weight, scale, ctx.kernel_map, ctx.places)
        if ctx.needs_input_grad[1]:
            maps = ctx.kernel_map, ctx.places
            at_weight = _weight_gradient(features, upstream, weight, scale, *maps)
        if ctx.needs_input_grad[2]:
            with torch.autocast(upstream.device.type, enabled=False):  # no other operator heeds it
                at_bias = upstream.sum(0)
        return at_features, at_weight, at_bias, None, None, None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        kernel_map: KernelMap,
        places: Places,
    ) -> Tensor:
        features = features.contiguous()
        output = features.new_empty((kernel_map.outputs, features.shape[1]))
        chosen = None
        if ctx.needs_input_grad[0]:
            chosen = torch.empty_like(output, dtype=torch.int32)
        parameters = structures.Pooling(
            pointer(features),
            pointer(kernel_map.table),
            pointer(output),
            pointer(chosen),
            kernel_map.outputs,
            kernel_map.offsets,
            features.shape[1],
        )
        places.launch(launching.pool(features.dtype), (blocks_of(output.numel()),), parameters)
        ctx.save_for_backward(chosen)
        ctx.kernel_map = kernel_map
        ctx.places = places
        return output

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (chosen,) = ctx.saved_tensors
        upstream = upstream.contiguous()
        gradient = upstream.new_empty((ctx.kernel_map.inputs, upstream.shape[1]))
        table, _ = ctx.kernel_map.back()  # in reverse for one offset only, where that is the same
        parameters = structures.PoolingGradient(
            pointer(upstream),
            pointer(table),
            pointer(chosen),
            pointer(gradient),
            ctx.kernel_map.inputs,
            ctx.kernel_map.offsets,
            upstream.shape[1],
        )
        kernel = launching.pool_gradient(upstream.dtype)
        ctx.places.launch(kernel, (blocks_of(gradient.numel()),), parameters)
        return gradient, None, None


def _input_gradient(
    upstream: Tensor, weight: Tensor, scale: Tensor | None, kernel_map: KernelMap, places: Places
) -> Tensor:
    """The same convolution the other way, with each offset's matrix transposed."""
    table, turned_round = kernel_map.back()
    gradient = upstream.new_empty((kernel_map.inputs, weight.shape[1]))
    parameters = structures.Convolution(
        pointer(upstream),
        pointer(weight),
        None,
        pointer(table),
        pointer(scale),
        None,
        pointer(gradient),
        kernel_map.inputs,
        kernel_map.offsets,
        weight.shape[2],
        weight.shape[1],
        turned_round,
    )
    _launch_convolution(parameters, upstream.dtype, places, transposed=True)
    return gradient


def _weight_gradient(
    features: Tensor,
    upstream: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    kernel_map: KernelMap,
    places: Places,
) -> Tensor:
    """Shares of the rows, added up in a fixed order."""
    offsets, ins, outs = weight.shape
    tile = _tile(launching.WEIGHT_GRADIENT_TILES, max(ins, outs))
    tiles = math.ceil(ins / tile.rows) * math.ceil(outs / tile.columns)
    splits = _shares(kernel_map.outputs, tiles * offsets, places)
    gradient = torch.empty_like(weight)
    shares = weight.new_empty((splits, *weight.shape), dtype=_sum_type(weight))
    parameters = structures.WeightGradient(
        pointer(features),
        pointer(upstream),
        pointer(scale),
        pointer(kernel_map.table),
        pointer(shares),
        pointer(gradient),
        kernel_map.outputs,
        offsets,
        ins,
        outs,
        splits,
    )
    places.launch(
        launching.weight_gradient(weight.dtype, tile), (tiles, offsets, splits), parameters
    )
    places.launch(launching.add_shares(weight.dtype), (blocks_of(weight.numel()),), parameters)
    return gradient


def _launch_convolution(
    parameters: structures.Convolution, dtype: torch.dtype, places: Places, *, transposed: bool
) -> None:
    kernel, blocks = _choose(parameters, dtype, places, transposed=transposed)
    places.launch(kernel, blocks, parameters)


def _choose(
    parameters: structures.Convolution, dtype: torch.dtype, places: Places, *, transposed: bool
) -> tuple[Kernel, tuple[int, ...]]:
    """Few threads a row where channels are few and all weights fit shared memory; tiles elsewhere."""
    ins, outs, rows = parameters.in_channels, parameters.out_channels, parameters.rows
    if _fits_tensor_cores(parameters, dtype, places):
        columns = math.ceil(outs / launching.TENSOR_CORE_COLUMNS)
        blocks_of_rows = math.ceil(rows / launching.TENSOR_CORE_ROWS)
        kernel = launching.convolve_tensor_cores(dtype, transposed=transposed)
        return kernel, (blocks_of_rows, columns)
    weights = parameters.offsets * ins * outs
    if max(ins, outs) <= places.tuning.few_channels and weights <= launching.MOST_FEW_WEIGHTS:
        wanted = blocks_of(rows * math.ceil(outs / launching.FEW_COLUMNS))
        blocks = min(wanted, _busy(places))
        return launching.convolve_few(dtype, transposed=transposed), (blocks,)
    tile = _tile(launching.CONVOLUTION_TILES, outs)
    kernel = launching.convolve_tiles(dtype, tile, transposed=transposed)
    return kernel, (math.ceil(rows / tile.rows), math.ceil(outs / tile.columns))


def _fits_tensor_cores(
    parameters: structures.Convolution, dtype: torch.dtype, places: Places
) -> bool:
    """Whether rows can be copied 16 bytes at a time, and nothing has to be done to them before."""
    ins, outs = parameters.in_channels, parameters.out_channels
    return (
        dtype in launching.TENSOR_CORE_TYPES
        and min(ins, outs) >= places.tuning.tensor_core_channels
        and ins % launching.TENSOR_CORE_CHUNK == 0
        and outs % launching.TENSOR_CORE_CHUNK == 0
        and parameters.scale is None
        and (parameters.features or 0) % 16 == 0
        and (parameters.weight or 0) % 16 == 0
    )


def _tile(tiles: tuple[Tile, ...], channels: int) -> Tile:
    """The narrowest that holds so many channels, or the widest."""
    return next((tile for tile in tiles if channels <= tile.columns), tiles[-1])


def _shares(rows: int, blocks: int, places: Places) -> int:
    """Into how many shares rows are split, so that enough blocks have something to do."""
    wanted = math.ceil(_busy(places) / blocks)
    return max(1, min(wanted, math.ceil(rows / places.tuning.share_rows), MOST_SHARES))


def _busy(places: Places) -> int:
    """Blocks that keep the device busy."""
    device = places.coordinates.device
    return places.tuning.blocks_each * places.launcher.multiprocessors(device)


def _autocast(tensor: Tensor) -> Tensor:
    if tensor.dtype is torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))


def _sum_type(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype is torch.float64 else torch.float32
