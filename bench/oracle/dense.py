"""The oracle: torch's dense operators in float64, masked to the active output sites.

It is written for being read, not for speed: every statement is the one rule of semantics in
`bench.operators`, spelled out. It is an implementation like any other, so that it runs whole networks
and gives gradients through autograd.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch, from_dense
from bench.implementation import Implementation, pointwise_module
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Pointwise,
    Rule,
)
from bench.window import Window

CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
TRANSPOSE: dict[int, Callable[..., Tensor]] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}
POOL: dict[int, Callable[..., Tensor]] = {2: F.max_pool2d, 3: F.max_pool3d}


class DenseTensor(NamedTuple):
    """Densified values `[B, C, *grid]`, float64, and the mask of active sites `[B, 1, *grid]`."""

    values: Tensor
    mask: Tensor


class Oracle(Implementation):
    """Dense float64 reference; whatever it returns is right by definition."""

    name: ClassVar[str] = "oracle"

    def encode(self, batch: SparseBatch) -> DenseTensor:
        """Densify."""
        return DenseTensor(batch.to(dtype=torch.float64).dense(), batch.mask())

    def decode(self, native: DenseTensor) -> SparseBatch:
        """Read at the active sites."""
        return from_dense(native.values, native.mask)

    def features(self, native: DenseTensor) -> Tensor:
        """Return the whole grid."""
        return native.values

    def with_features(self, native: DenseTensor, features: Tensor) -> DenseTensor:
        """Keep the mask."""
        return DenseTensor(features, native.mask)

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Dense convolution, read at the active output sites."""
        return _Convolution(operator, weight, bias)

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Dense transposed convolution, read at the target's sites."""
        return _InverseConvolution(operator, weight, bias)

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Dense max pooling, read at the active output sites."""
        return _MaxPooling(operator)

    def pointwise(
        self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None
    ) -> nn.Module:
        """Apply torch's module to the rows of active sites."""
        return _OnRows(operator, weight, bias)


class _Weighted(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.double())
        self.bias = None if bias is None else nn.Parameter(bias.double())

    def biased(self, values: Tensor) -> Tensor:
        if self.bias is None:
            return values
        return values + self.bias.view(1, -1, *(1,) * (values.ndim - 2))


class _Convolution(_Weighted):
    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.operator = operator

    def forward(self, native: DenseTensor) -> DenseTensor:
        geometry = self.operator.window
        values = _convolve(native.values, self.weight, geometry)
        count = _convolve(native.mask.double(), torch.ones_like(self.weight[:1, :1]), geometry)
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            values = values / (count + SPARSITY_INVARIANT_EPSILON)
        mask = native.mask if self.operator.rule is Rule.SUBMANIFOLD else count > 0
        return DenseTensor(self.biased(values) * mask, mask)


class _InverseConvolution(_Weighted):
    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.geometry = operator.window

    def forward(self, source: DenseTensor, target: DenseTensor) -> DenseTensor:
        geometry = self.geometry
        values = TRANSPOSE[geometry.dimensions](
            source.values,
            self.weight,
            stride=geometry.stride,
            padding=geometry.padding,
            output_padding=geometry.output_padding(tuple(target.mask.shape[2:])),
            dilation=geometry.dilation,
        )
        return DenseTensor(self.biased(values) * target.mask, target.mask)


class _MaxPooling(nn.Module):
    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.geometry = operator.window

    def forward(self, native: DenseTensor) -> DenseTensor:
        mask = _pool(native.mask.double(), self.geometry) > 0
        # A dilated window may lie on padding alone, and torch pools that to -inf.
        return DenseTensor(torch.where(mask, _pool(native.values, self.geometry), 0), mask)


class _OnRows(nn.Module):
    def __init__(self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.inner = pointwise_module(operator, weight, bias).double()

    @property
    def weight(self) -> Tensor:
        return self.inner.get_parameter("weight")

    @property
    def bias(self) -> Tensor:
        return self.inner.get_parameter("bias")

    def forward(self, native: DenseTensor) -> DenseTensor:
        rows = from_dense(native.values, native.mask)
        return DenseTensor(rows.with_features(self.inner(rows.features)).dense(), native.mask)


def _convolve(values: Tensor, weight: Tensor, geometry: Window) -> Tensor:
    return CONVOLVE[geometry.dimensions](
        values,
        weight,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )


def _pool(values: Tensor, geometry: Window) -> Tensor:
    return POOL[geometry.dimensions](
        values,
        geometry.kernel_size,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )
