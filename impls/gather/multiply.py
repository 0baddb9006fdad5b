"""Differentiable multiplication and max pooling over a kernel map, compiled or through torch."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from impls.gather import compiled
from impls.gather.pairs import Pairs, Windows

HALF = {torch.bfloat16, torch.float16}
FEWEST_CHANNELS_OF_HALF_PRODUCTS = 256
"""From so many channels on, a processor that multiplies bfloat16 gains more than gathering costs.

Measured with AVX512-BF16 (docs/gather.md), not with AMX.
"""


def multiply_pairs(features: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs) -> Tensor:
    """Sum of `features[input] @ weight[offset]` over the pairs of each output row, plus the bias.

    Sums are taken in float32 for half types, in the features' own type otherwise.

    Args:
        features: `[N, C_in]`.
        weight: `[K, C_in, C_out]`.
        bias: `[C_out]`, or None.
        pairs: the kernel map.

    Returns:
        `[M, C_out]`.
    """
    if not compiled.usable(features) or _multiplies_halves(weight):
        result: Tensor = _Torch.apply(features, weight, pairs)  # type: ignore[no-untyped-call]
        return result if bias is None else result + bias
    dtype = features.dtype
    if dtype in HALF:
        features, weight = features.float(), weight.float()
        bias = None if bias is None else bias.float()
    if torch.is_grad_enabled():
        result = _Compiled.apply(features, weight, bias, pairs)  # type: ignore[no-untyped-call]
    else:
        result = compiled.multiply(features, weight, bias, pairs)
    return result if result.dtype is dtype else result.to(dtype)


def pool(features: Tensor, windows: Windows | Tensor) -> Tensor:
    """Max pooling: the last NaN or else the first largest, as in torch: `[M, C]`.

    Args:
        features: `[N, C]`.
        windows: what each output row sees. A table, for torch's operators, is int32 `[M, K]`: the row
            seen through each offset; N at an inactive site, whose value is 0; N + 1 in the padding,
            which is never the largest.
    """
    if isinstance(windows, Tensor):
        return _pool_through_torch(features, windows)
    dtype = features.dtype
    if dtype in HALF:
        features = features.float()
    result: Tensor
    if torch.is_grad_enabled() and features.requires_grad:
        result = _CompiledPooling.apply(features, windows)  # type: ignore[no-untyped-call]
    else:
        result = compiled.pool(features, windows)
    return result if result.dtype is dtype else result.to(dtype)


class _Compiled(torch.autograd.Function):
    """Float32 and float64 on a CPU."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        pairs: Pairs,
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        return compiled.multiply(features, weight, bias, pairs)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        features, weight = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        return *compiled.gradients(features, weight, upstream, ctx.pairs, needed), None


class _Torch(torch.autograd.Function):
    """Any type and device: for each offset rows are gathered, multiplied and added.

    No offset reaches a row twice, so every sum has a fixed order.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(features, weight)
        ctx.pairs = pairs
        total = _zeros(pairs.output_count, weight.shape[2], features)
        for offset, inputs, outputs in pairs.by_offset():
            _add_rows(total, outputs, _rows(features, inputs) @ weight[offset])
        return total.to(features.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
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


class _CompiledPooling(torch.autograd.Function):
    """Float32 and float64 on a CPU."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, windows: Windows) -> Tensor:  # noqa: ANN401
        out, source = compiled.pool_with_source(features, windows)
        ctx.save_for_backward(source)
        ctx.windows = windows
        ctx.active = len(features)
        return out

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (source,) = ctx.saved_tensors
        return compiled.pool_gradient(upstream, source, ctx.windows, ctx.active), None


def _pool_through_torch(features: Tensor, table: Tensor) -> Tensor:
    """Find the first largest site of each window, then read it."""
    count, channels = features.shape
    # Two rows more: an inactive site's 0, and padding's -inf.
    rows = torch.cat(
        [features, features.new_zeros(1, channels), features.new_full((1, channels), -torch.inf)]
    )
    with torch.no_grad():
        best = features.new_full((len(table), channels), -torch.inf)
        source = torch.full((len(table), channels), count, device=features.device)
        for seen in table.T.long():
            candidate = rows[seen]
            better = (candidate > best) | candidate.isnan()
            best = torch.where(better, candidate, best)
            source = torch.where(better, seen[:, None], source)
    return rows.gather(0, source)


@cache
def _has_half_products() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _multiplies_halves(weight: Tensor) -> bool:
    """Whether the processor's own bfloat16 products, through torch, are the faster way."""
    return (
        weight.dtype is torch.bfloat16
        and min(weight.shape[1:]) >= FEWEST_CHANNELS_OF_HALF_PRODUCTS
        and _has_half_products()
    )


def _zeros(rows: int, channels: int, like: Tensor) -> Tensor:
    dtype = torch.float32 if like.dtype in HALF else like.dtype
    return torch.zeros((rows, channels), dtype=dtype, device=like.device)


def _rows(tensor: Tensor, rows: Tensor | None) -> Tensor:
    return tensor if rows is None else tensor.index_select(0, rows)


def _add_rows(total: Tensor, rows: Tensor | None, values: Tensor) -> None:
    values = values.to(total.dtype)
    if rows is None:
        total += values
    else:
        total.index_add_(0, rows, values)
