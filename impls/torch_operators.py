"""Torch's dense operators with a window's geometry, and which of them torch has in which type."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bench.operators import Convolution, InverseConvolution, MaxPooling, Operator
from bench.window import Axes, Window, window

_CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
_POOL: dict[int, Callable[..., Tensor]] = {2: F.max_pool2d, 3: F.max_pool3d}


def convolve(values: Tensor, weight: Tensor, bias: Tensor | None, geometry: Window) -> Tensor:
    """Cross-correlate `[B, C_in, *grid]` with `[C_out, C_in, *kernel]`."""
    if _torch_would_avoid_onednn(values, weight):
        result: Tensor = _OneDnnConvolution.apply(values, weight, bias, geometry)  # type: ignore[no-untyped-call]
        return result
    return _CONVOLVE[geometry.dimensions](
        values, weight, bias, geometry.stride, geometry.padding, geometry.dilation
    )


def transpose(
    values: Tensor, weight: Tensor, bias: Tensor | None, geometry: Window, grid_size: Axes
) -> Tensor:
    """Transposed convolution with `[C_in, C_out, *kernel]` onto a grid of the given size."""
    return _TRANSPOSE[geometry.dimensions](
        values,
        weight,
        bias,
        stride=geometry.stride,
        padding=geometry.padding,
        output_padding=geometry.output_padding(grid_size),
        dilation=geometry.dilation,
    )


def pool(values: Tensor, geometry: Window) -> Tensor:
    """Max pooling of `[B, C, *grid]`; 0 where a dilated window lies on padding alone."""
    pooled = _POOL[geometry.dimensions](
        values, geometry.kernel_size, geometry.stride, geometry.padding, geometry.dilation
    )
    if max(geometry.padding) > 0 and max(geometry.dilation) > 1:
        pooled = pooled.masked_fill(pooled.isneginf(), 0)
    return pooled


def count_active(mask: Tensor, geometry: Window) -> Tensor:
    """Number of active sites under the kernel: `[B, 1, *output grid]`, of the mask's type."""
    return convolve(mask, mask.new_ones((1, 1, *geometry.kernel_size)), None, geometry)


def touched(mask: Tensor, geometry: Window) -> Tensor:
    """1 where the window touches an active site, else 0, of the mask's type `[B, 1, *grid]`.

    Max pooling of the mask (Uhrig et al. 2017); torch refuses a padding beyond half of the kernel,
    and there the active sites are counted instead.
    """
    sizes = zip(geometry.padding, geometry.kernel_size, strict=True)
    if all(2 * padding <= size for padding, size in sizes):
        return pool(mask, geometry)
    return (count_active(mask, geometry) > 0).to(mask.dtype)


def active_rows(mask: Tensor) -> Tensor:
    """Number the active sites of a mask `[B, 1, *grid]` in lexicographic order: int64 `[N]`."""
    return mask.reshape(-1).nonzero().squeeze(1)


def on_rows(values: Tensor, active: Tensor, module: nn.Module) -> Tensor:
    """Apply a module to the rows `[N, C]` of the active sites of a grid; all others become 0."""
    last = values.movedim(1, -1)
    rows = last.flatten(0, -2)
    result: Tensor = module(rows.index_select(0, active))
    whole = result.new_zeros((len(rows), result.shape[1])).index_copy_(0, active, result)
    return whole.view(*last.shape[:-1], -1).movedim(-1, 1)


class _OneDnnConvolution(torch.autograd.Function):
    """The oneDNN convolution where torch would choose its own, slower one.

    For a single sample of less than 20,480 elements (the last axis of a 3D grid not counted) torch
    2.13 takes its column-matrix kernels in float32. Measured on one thread of a CPU with AVX-512, 16
    channels, grid 32x32x32, kernel 3: forward 109 ms against oneDNN's 7 ms, backward 237 ms against
    26 ms. A second, empty sample makes torch's backward choose oneDNN too.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Window,
    ) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.geometry = geometry
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        return torch.mkldnn_convolution(
            values, weight, bias, geometry.padding, geometry.stride, geometry.dilation, 1
        )

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        upstream: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        values, weight = ctx.saved_tensors
        geometry = ctx.geometry
        doubled = geometry.dimensions == 3 or values.shape[1] < 16  # where it pays
        if doubled:
            upstream = torch.cat([upstream, torch.zeros_like(upstream)])
            values = torch.cat([values, torch.zeros_like(values)])
        at_values, at_weight, at_bias = torch.ops.aten.convolution_backward(
            upstream,
            values,
            weight,
            ctx.bias_sizes,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            False,  # noqa: FBT003  # transposed
            [0] * geometry.dimensions,
            1,
            list(ctx.needs_input_grad[:3]),
        )
        if doubled and at_values is not None:
            at_values = at_values[:1]
        return at_values, at_weight, at_bias, None


def _torch_would_avoid_onednn(values: Tensor, weight: Tensor) -> bool:
    """Torch's own condition (`ConvParams::use_mkldnn`, ATen/native/Convolution.cpp), turned round."""
    return (
        values.device.type == "cpu"
        and values.dtype == torch.float32
        and values.shape[0] == 1
        and values.shape[:4].numel() <= 20480  # torch's constant
        and not (weight.shape[-1] > 3 and weight.shape[-2] > 3)  # likewise
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


def why_torch_lacks(operator: Operator, dtype: torch.dtype, device: torch.device) -> str | None:
    """Torch's own words for why it cannot compute an operator in a type, or None."""
    if not isinstance(operator, Convolution | InverseConvolution | MaxPooling):
        return None
    if operator.window.dimensions not in _CONVOLVE:
        return f"{operator.window.dimensions} spatial axes; torch's dense operators are used in 2 and 3"
    return _try(type(operator).__name__, operator.window.dimensions, dtype, device)


@cache
def _try(kind: str, dimensions: int, dtype: torch.dtype, device: torch.device) -> str | None:
    """Run a tiny operator forward and backward: asked of torch itself, not of a table."""
    shape = (2, 2, *(3,) * dimensions)
    geometry = window(dimensions, 3)
    try:
        values = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
        weight = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
        if kind == Convolution.__name__:
            result = convolve(values, weight, None, geometry)
        elif kind == InverseConvolution.__name__:
            result = transpose(values, weight, None, geometry, (5,) * dimensions)
        else:
            result = pool(values, geometry)
        result.sum().backward()
    except (RuntimeError, TypeError) as error:
        return f"torch {torch.__version__} on {device.type}: {str(error).splitlines()[0]}"
    return None
