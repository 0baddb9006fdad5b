"""Gradient at a convolution's weights."""

import math

import torch
from torch import Tensor

from impls.cuda import launching, structures
from impls.cuda.places import Places, blocks_of
from impls.cuda.products import busy_blocks, can_be_copied, narrowest, sum_type
from impls.cuda.sites import KernelMap
from impls.cuda.structures import pointer

MOST_SHARES = 65535
"""Blocks along the grid's z axis."""


def weight_gradient(
    features: Tensor,
    upstream: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    kernel_map: KernelMap,
    places: Places,
    *,
    tensor_cores: bool,
) -> Tensor:
    """Sum of `features[row seen]^T @ upstream[row]` for each offset: shares, added in a fixed order.

    Args:
        features: `[N, C_in]`, contiguous.
        upstream: `[M, C_out]`, contiguous.
        weight: `[K, C_in, C_out]`, whose gradient it is.
        scale: `[M]` that upstream rows are multiplied by, or None.
        kernel_map: of N input and M output rows.
        places: what launches, and how it is tuned.
        tensor_cores: whether they may compute it.
    """
    offsets, ins, outs = weight.shape
    tensor_cores = (
        tensor_cores
        and scale is None
        and can_be_copied(features, ins, places)
        and can_be_copied(upstream, outs, places)
    )
    if tensor_cores:
        tile = narrowest(launching.TENSOR_CORE_GRADIENT_TILES, max(ins, outs))
        kernel = launching.weight_gradient_tensor_cores(weight.dtype, tile)
    else:
        tile = narrowest(launching.WEIGHT_GRADIENT_TILES, max(ins, outs))
        kernel = launching.weight_gradient(weight.dtype, tile)
    tiles = math.ceil(ins / tile.rows) * math.ceil(outs / tile.columns)
    splits = _shares(kernel_map.outputs, tiles * offsets, places)
    gradient = torch.empty_like(weight)
    shares = weight.new_empty((splits, *weight.shape), dtype=sum_type(weight.dtype))
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
    places.launch(kernel, (tiles, offsets, splits), parameters)
    places.launch(launching.add_shares(weight.dtype), (blocks_of(weight.numel()),), parameters)
    return gradient


def _shares(rows: int, blocks: int, places: Places) -> int:
    """Into how many shares rows are split, so that enough blocks have something to do."""
    wanted = math.ceil(busy_blocks(places) / blocks)
    return max(1, min(wanted, math.ceil(rows / places.tuning.share_rows), MOST_SHARES))
