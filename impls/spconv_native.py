"""spconv's native algorithm: pairs by offset; gather, multiply, scatter. A CPU has no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from spconv import constants
from spconv.core import ConvAlgo
from spconv.pytorch import ops
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench.dtypes import tf32_is_allowed
from bench.window import Window
from impls.one_thread import one_thread
from impls.spconv_maps import KernelMap, Sites, with_bias

FORTH, BACK = False, True
"""From input rows to output rows, and the other way: spconv's argument `inverse`."""


class NativeMap(KernelMap):
    """Lists of pairs, `[2, K, N]`, of which the first few of each offset are used."""

    def __init__(self, sites: Sites, window: Window, *, submanifold: bool) -> None:
        with one_thread():
            indices, self.lists, self.numbers = ops.get_indice_pairs(
                sites.indices,
                sites.batch_size,
                list(sites.grid_size),
                ConvAlgo.Native,
                list(window.kernel_size),
                list(window.stride),
                list(window.padding),
                list(window.dilation),
                [0] * window.dimensions,
                submanifold,
            )
        super().__init__(sites, window, indices)
        self.submanifold = submanifold

    def convolve(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply the pairs of each offset."""
        result: Tensor = _Multiply.apply(features, weight, self, FORTH)  # type: ignore[no-untyped-call]
        return with_bias(result, bias)

    def convolve_back(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply them the other way."""
        result: Tensor = _Multiply.apply(features, weight, self, BACK)  # type: ignore[no-untyped-call]
        return with_bias(result, bias)

    def maximum(self, features: Tensor) -> Tensor:
        """Take the maximum offset by offset, as spconv does, but from another start than its 0."""
        features = features.contiguous()
        pooled = self.floor(features, features.shape[1])
        largest, values, lists = map(ops.torch_tensor_to_tv, (pooled, features, self.lists))
        with one_thread():
            for offset, number in enumerate(self.numbers.tolist()):
                if not number:
                    continue
                inputs, outputs = (
                    lists[side][offset].slice_first_axis(0, number) for side in range(2)
                )
                if features.is_cuda:
                    stream = ops.get_current_stream()
                    ops.SpconvOps.maxpool_forward(largest, values, outputs, inputs, stream)
                else:
                    ops.SpconvOps.maxpool_forward_cpu(largest, values, outputs, inputs)
        return pooled

    def count_active(self) -> Tensor:
        """Count how often each output row occurs; what is unused of the lists holds -1."""
        return torch.bincount(self.lists[1].flatten() + 1, minlength=self.outputs.count + 1)[1:]

    def find_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Cut off what is unused of the lists."""
        lists = self.lists.long()
        numbers = self.numbers.tolist()
        return [(lists[0, k, :number], lists[1, k, :number]) for k, number in enumerate(numbers)]


class _Multiply(torch.autograd.Function):
    """spconv's functions on one thread: with two its CPU code loses sums silently."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        weight: Tensor,
        pairs: NativeMap,
        back: bool,
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.pairs, ctx.back = pairs, back
        ctx.tf32 = features.is_cuda and tf32_is_allowed()
        constants.SPCONV_ALLOW_TF32 = ctx.tf32  # its own switch, which it reads at every call
        count = pairs.input_count if back else pairs.outputs.count
        with one_thread():
            result: Tensor = ops.indice_conv(
                features, weight, pairs.lists, pairs.numbers, count, back, pairs.submanifold
            )
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        features, weight = ctx.saved_tensors
        pairs = ctx.pairs
        constants.SPCONV_ALLOW_TF32 = ctx.tf32
        with one_thread(), _stream_for(features):
            at_features, at_weight = ops.indice_conv_backward(
                features,
                weight,
                upstream,
                pairs.lists,
                pairs.numbers,
                ctx.back,
                pairs.submanifold,
            )
        return at_features, at_weight, None, None


@contextmanager
def _stream_for(tensor: Tensor) -> Iterator[None]:
    """On a CPU, answer spconv's backward, which asks for a CUDA stream whatever its tensors are.

    The library is as it was afterwards.
    """
    if tensor.is_cuda:
        yield
        return
    asked = ops.get_current_stream
    ops.get_current_stream = lambda: 0
    try:
        yield
    finally:
        ops.get_current_stream = asked
