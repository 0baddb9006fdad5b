"""`masked`: dense convolution with an explicit mask carried from layer to layer (Uhrig et al. 2017).

The way the sparsity invariant CNN is published and commonly rewritten: input times mask, convolution,
normalisation by a convolution of the mask, mask of the next layer by max pooling. The mask is part of
every forward pass; nothing is cached.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch, from_dense
from bench.implementation import Implementation, pointwise_module, source_digest
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Operator,
    Pointwise,
    Rule,
)
from impls.torch_operators import (
    active_rows,
    convolve,
    count_active,
    on_rows,
    pool,
    touched,
    transpose,
    why_torch_lacks,
)

FOLDER = Path(__file__).parent
SOURCES = ("masked.py", "torch_operators.py")


class MaskedGrid(NamedTuple):
    """Native tensor: values `[B, C, *grid]` and mask `[B, 1, *grid]`, both of the features' type."""

    values: Tensor
    mask: Tensor


class Masked(Implementation):
    """Mask-based convolution under all three rules."""

    name: ClassVar[str] = "masked"
    version: ClassVar[str] = f"{torch.__version__} {source_digest(FOLDER, *SOURCES)}"
    origin: ClassVar[str] = "Uhrig et al. 2017, section 4, on torch.nn.functional"

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Whatever torch has no kernel for."""
        return why_torch_lacks(operator, dtype, device)

    def encode(self, batch: SparseBatch) -> MaskedGrid:
        """Scatter rows into a zeroed grid."""
        return MaskedGrid(batch.dense(), batch.mask().to(batch.features.dtype))

    def decode(self, native: MaskedGrid) -> SparseBatch:
        """Read the grid at active sites."""
        return from_dense(native.values, native.mask)

    def features(self, native: MaskedGrid) -> Tensor:
        """Return the whole grid."""
        return native.values

    def with_features(self, native: MaskedGrid, features: Tensor) -> MaskedGrid:
        """Keep the mask."""
        return MaskedGrid(features, native.mask)

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Mask, convolve, normalise where the rule says so, mask again."""
        return MaskedConvolution(operator, weight, bias)

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Mask, transpose, mask with the target."""
        return MaskedInverseConvolution(operator, weight, bias)

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Pool values and mask alike."""
        return MaskedMaxPooling(operator)

    def pointwise(
        self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None
    ) -> nn.Module:
        """Apply torch's module to the rows of active sites."""
        return OnMaskedRows(operator, weight, bias)


class _Weighted(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)


class MaskedConvolution(_Weighted):
    """One convolution under a mask."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.operator = operator

    def forward(self, native: MaskedGrid) -> MaskedGrid:
        """Convolve what the mask lets through."""
        window = self.operator.window
        values = convolve(native.values * native.mask, self.weight, None, window)
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            count = count_active(native.mask, window)
            # A half type cannot hold the epsilon, and 0/0 must stay 0: the values there are 0.
            values = values / (count + SPARSITY_INVARIANT_EPSILON).clamp(min=_least(count))
        submanifold = self.operator.rule is Rule.SUBMANIFOLD
        mask = native.mask if submanifold else touched(native.mask, window)
        if self.bias is not None:
            values = values + self.bias.view(1, -1, *(1,) * (values.ndim - 2))
        return MaskedGrid(values * mask, mask)


class MaskedInverseConvolution(_Weighted):
    """One transposed convolution under the target's mask."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight, bias)
        self.window = operator.window

    def forward(self, source: MaskedGrid, target: MaskedGrid) -> MaskedGrid:
        """Transpose what the mask lets through."""
        grid_size = tuple(target.mask.shape[2:])
        values = source.values * source.mask
        values = transpose(values, self.weight, self.bias, self.window, grid_size)
        return MaskedGrid(values * target.mask, target.mask)


class MaskedMaxPooling(nn.Module):
    """Max pooling of values and mask."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def forward(self, native: MaskedGrid) -> MaskedGrid:
        """Pool both."""
        mask = pool(native.mask, self.window)
        return MaskedGrid(pool(native.values * native.mask, self.window), mask)


class OnMaskedRows(nn.Module):
    """Applies a torch module to the rows of active sites."""

    def __init__(self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        self.inner = pointwise_module(operator, weight, bias)

    @property
    def weight(self) -> Tensor:
        """The inner module's weight."""
        return self.inner.get_parameter("weight")

    @property
    def bias(self) -> Tensor:
        """The inner module's bias."""
        return self.inner.get_parameter("bias")

    def forward(self, native: MaskedGrid) -> MaskedGrid:
        """Gather rows, apply, scatter."""
        values = on_rows(native.values, active_rows(native.mask), self.inner)
        return MaskedGrid(values, native.mask)


def _least(count: Tensor) -> float:
    return torch.finfo(count.dtype).tiny
