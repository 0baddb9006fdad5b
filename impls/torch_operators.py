"""Torch's dense operators with a window's geometry, and which of them torch has in which type."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.operators import Convolution, InverseConvolution, MaxPooling, Operator
from bench.window import Axes, Window, window

_CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_TRANSPOSE: dict[int, Callable[..., Tensor]] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
_POOL: dict[int, Callable[..., Tensor]] = {2: F.max_pool2d, 3: F.max_pool3d}


def convolve(values: Tensor, weight: Tensor, bias: Tensor | None, geometry: Window) -> Tensor:
    """Cross-correlate `[B, C_in, *grid]` with `[C_out, C_in, *kernel]`."""
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
    """Max pooling of `[B, C, *grid]`."""
    return _POOL[geometry.dimensions](
        values, geometry.kernel_size, geometry.stride, geometry.padding, geometry.dilation
    )


def why_torch_lacks(operator: Operator, dtype: torch.dtype, device: torch.device) -> str | None:
    """Torch's own words for why it cannot compute an operator in a type, or None."""
    if not isinstance(operator, Convolution | InverseConvolution | MaxPooling):
        return None
    if operator.window.dimensions not in _CONVOLVE:
        return f"{operator.window.dimensions} spatial axes; torch's dense operators are used in 2 and 3"
    return _try(type(operator), operator.window.dimensions, dtype, device)


@cache
def _try(kind: type, dimensions: int, dtype: torch.dtype, device: torch.device) -> str | None:
    """Run a tiny operator forward and backward: asked of torch itself, not of a table."""
    shape = (2, 2, *(3,) * dimensions)
    values = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
    weight = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
    geometry = window(dimensions, 3)
    try:
        if kind is Convolution:
            result = convolve(values, weight, None, geometry)
        elif kind is InverseConvolution:
            result = transpose(values, weight, None, geometry, (5,) * dimensions)
        else:
            result = pool(values, geometry)
        result.sum().backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, TypeError) as error:
        return f"torch {torch.__version__} on {device.type}: {str(error).splitlines()[0]}"
    return None
