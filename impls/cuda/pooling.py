"""Max pooling over a kernel map, with its gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impls.cuda import launching, structures
from impls.cuda.places import Places, blocks_of
from impls.cuda.sites import KernelMap
from impls.cuda.structures import pointer


def pool(features: Tensor, kernel_map: KernelMap, places: Places) -> Tensor:
    """Max pooling, the first largest in torch's order: `[N, C]` to `[M, C]`."""
    if not torch.is_grad_enabled():
        return _forward(features, kernel_map, places, keeps_chosen=False)[0]
    result: Tensor = _Pool.apply(features, kernel_map, places)  # type: ignore[no-untyped-call]
    return result


def _forward(
    features: Tensor, kernel_map: KernelMap, places: Places, *, keeps_chosen: bool
) -> tuple[Tensor, Tensor | None]:
    """Maxima, and which offsets they came from if that is to be kept."""
    features = features.contiguous()
    output = features.new_empty((kernel_map.outputs, features.shape[1]))
    chosen = torch.empty_like(output, dtype=torch.int32) if keeps_chosen else None
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
    return output, chosen


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        kernel_map: KernelMap,
        places: Places,
    ) -> Tensor:
        needed = ctx.needs_input_grad[0]
        output, chosen = _forward(features, kernel_map, places, keeps_chosen=needed)
        ctx.save_for_backward(chosen)
        ctx.kernel_map = kernel_map
        ctx.places = places
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (chosen,) = ctx.saved_tensors
        upstream = upstream.contiguous()
        gradient = upstream.new_empty((ctx.kernel_map.inputs, upstream.shape[1]))
        # Its offsets are in reverse for a window of one offset only, where that is the same.
        table = ctx.kernel_map.back().table
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
