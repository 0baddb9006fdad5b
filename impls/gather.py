"""`gather`: kernel map, then matrix multiply on active pairs only, through torch on any device.

For each kernel offset the pairs' input rows are gathered, multiplied with that offset's weights and
added to their output rows. No offset reaches an output row twice, so every sum has a fixed order and
the same bits come out at every run.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.implementation import Implementation
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Operator,
    Rule,
)
from bench.phases import Phase
from impls.kernel_map import Pairs, Sites, reversed_map


class Rows(NamedTuple):
    """Native tensor: features `[N, C]` of the sites' rows, and the sites with their kernel maps."""

    features: Tensor
    sites: Sites


class Gather(Implementation):
    """Active pairs, one matrix multiply for each kernel offset."""

    name: ClassVar[str] = "gather"
    version: ClassVar[str] = "1"
    origin: ClassVar[str] = "this project"
    timed_region = {  # noqa: RUF012
        Phase.ENCODE: "nothing but keeping the rows: coordinates are the native form",
        Phase.DECODE: "nothing but handing out the rows, which are in canonical order",
    }

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Whatever torch cannot multiply in this type."""
        del operator
        try:
            torch.ones((2, 2), dtype=dtype, device=device) @ torch.ones(
                (2, 2), dtype=dtype, device=device
            )
        except RuntimeError as error:
            return f"torch {torch.__version__} on {device.type}: {str(error).splitlines()[0]}"
        return None

    def encode(self, batch: SparseBatch) -> Rows:
        """Keep rows and coordinates."""
        return Rows(batch.features, Sites(batch.coordinates, batch.batch_size, batch.grid_size))

    def decode(self, native: Rows) -> SparseBatch:
        """Hand out rows and coordinates."""
        sites = native.sites
        return SparseBatch(sites.coordinates, native.features, sites.batch_size, sites.grid_size)

    def features(self, native: Rows) -> Tensor:
        """Return the rows."""
        return native.features

    def with_features(self, native: Rows, features: Tensor) -> Rows:
        """Keep sites and kernel maps."""
        return Rows(features, native.sites)

    def without_maps(self, native: Rows) -> Rows:
        """Drop cached kernel maps."""
        sites = native.sites
        return Rows(native.features, Sites(sites.coordinates, sites.batch_size, sites.grid_size))

    def build_map(self, module: nn.Module, native: Rows) -> None:
        """Build the pairs, or the pooling table."""
        if isinstance(module, GatherConvolution | GatherMaxPooling):
            module.prepare(native.sites)

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Multiply active pairs."""
        return GatherConvolution(operator, weight, bias)

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Multiply the earlier convolution's pairs the other way."""
        return GatherInverseConvolution(operator, weight, bias)

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Scan the window's sites in torch's order."""
        return GatherMaxPooling(operator)

    def torch_layout(self, operator: Operator, weight: Tensor) -> Tensor:
        """Bring `[K, C_in, C_out]` back."""
        match operator:
            case Convolution():
                return weight.permute(2, 1, 0).reshape(operator.weight_shape)
            case InverseConvolution():
                return weight.permute(1, 2, 0).reshape(operator.weight_shape)
            case _:
                return weight


class GatherConvolution(nn.Module):
    """One convolution on active pairs; weight stored as `[K, C_in, C_out]`."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.operator = operator
        self.weight = nn.Parameter(weight.flatten(2).permute(2, 1, 0).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)

    def prepare(self, sites: Sites) -> None:
        """Build the kernel map."""
        self._kernel_map(sites)

    def forward(self, native: Rows) -> Rows:
        """Gather, multiply, add."""
        pairs, outputs = self._kernel_map(native.sites)
        features = multiply_pairs(native.features, self.weight, pairs)
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            count = pairs.counts(features.device).to(features.dtype) + SPARSITY_INVARIANT_EPSILON
            features = features / count[:, None]
        if self.bias is not None:
            features = features + self.bias
        return Rows(features, outputs)

    def _kernel_map(self, sites: Sites) -> tuple[Pairs, Sites]:
        submanifold = self.operator.rule is Rule.SUBMANIFOLD
        return sites.kernel_map(self.operator.window, submanifold=submanifold)


class GatherInverseConvolution(nn.Module):
    """One transposed convolution on the pairs of the convolution that it undoes."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.window = operator.window
        self.weight = nn.Parameter(weight.flatten(2).permute(2, 0, 1).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, source: Rows, target: Rows) -> Rows:
        """Gather coarse rows, multiply, add to fine rows."""
        pairs, coarse = target.sites.kernel_map(self.window, submanifold=False)
        pairs = reversed_map(pairs, coarse, source.sites, target.sites)
        features = multiply_pairs(source.features, self.weight, pairs)
        if self.bias is not None:
            features = features + self.bias
        return Rows(features, target.sites)


class GatherMaxPooling(nn.Module):
    """Max pooling over active sites, with 0 wherever the window holds an inactive one."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def prepare(self, sites: Sites) -> None:
        """Build the table of window sites."""
        sites.pooling_table(self.window)

    def forward(self, native: Rows) -> Rows:
        """Find the first largest site of each window, then read it."""
        table, outputs = native.sites.pooling_table(self.window)
        features = native.features
        count, channels = features.shape
        # Two rows more: an inactive site's 0, and padding's -inf.
        rows = torch.cat(
            [
                features,
                features.new_zeros(1, channels),
                features.new_full((1, channels), -torch.inf),
            ]
        )
        with torch.no_grad():
            best = torch.full(
                (outputs.count, channels), -torch.inf, dtype=features.dtype, device=features.device
            )
            source = torch.full((outputs.count, channels), count, device=features.device)
            for seen in table:
                candidate = rows[seen]
                better = candidate > best
                best = torch.where(better, candidate, best)
                source = torch.where(better, seen[:, None], source)
        return Rows(rows.gather(0, source), outputs)


def multiply_pairs(features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
    """Sum of `features[input] @ weight[offset]` over the pairs of each output row: `[M, C_out]`.

    Args:
        features: `[N, C_in]`.
        weight: `[K, C_in, C_out]`.
        pairs: the kernel map.
    """
    result: Tensor = _MultiplyPairs.apply(features, weight, pairs)  # type: ignore[no-untyped-call]
    return result


class _MultiplyPairs(torch.autograd.Function):
    """Sums in float32 for half types, in the features' own type otherwise."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        total = _zeros(pairs.output_count, weight.shape[2], features)
        for offset, inputs, outputs in pairs.by_offset():
            product = _rows(features, inputs) @ weight[offset]
            _add_rows(total, outputs, product)
        return total.to(features.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        features, weight = ctx.saved_tensors
        at_features = at_weight = None
        if ctx.needs_input_grad[0]:
            at_features = _zeros(len(features), features.shape[1], features)
        if ctx.needs_input_grad[1]:
            at_weight = torch.zeros_like(weight)
        for offset, inputs, outputs in ctx.pairs.by_offset():
            gradient = _rows(upstream, outputs)
            if at_features is not None:
                _add_rows(at_features, inputs, gradient @ weight[offset].T)
            if at_weight is not None:
                at_weight[offset] = _rows(features, inputs).T @ gradient
        if at_features is not None:
            at_features = at_features.to(features.dtype)
        return at_features, at_weight, None


def _zeros(rows: int, channels: int, like: Tensor) -> Tensor:
    half = like.dtype in {torch.bfloat16, torch.float16}
    dtype = torch.float32 if half else like.dtype
    return torch.zeros((rows, channels), dtype=dtype, device=like.device)


def _rows(tensor: Tensor, rows: Tensor | None) -> Tensor:
    return tensor if rows is None else tensor.index_select(0, rows)


def _add_rows(total: Tensor, rows: Tensor | None, values: Tensor) -> None:
    values = values.to(total.dtype)
    if rows is None:
        total += values
    else:
        total.index_add_(0, rows, values)
