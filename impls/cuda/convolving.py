"""Convolution over a kernel map, with its gradients."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impls.cuda.places import Places
from impls.cuda.products import Product, may_use_tensor_cores, multiply, sum_type
from impls.cuda.sites import KernelMap
from impls.cuda.weight_gradient import weight_gradient


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
    Where torch is told that float32 products need not be exact, float32 is rounded to tf32 before it is
    multiplied, backwards as forwards.
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
        ValueError: if they are not on one device; an address of another may cost the process its GPU.
    """
    device = features.device
    if torch.is_autocast_enabled(device.type):
        features, weight = _autocast(features), _autocast(weight)
        bias = None if bias is None else _autocast(bias)
    given = (features, weight) if bias is None else (features, weight, bias)
    dtype = features.dtype
    if {each.dtype for each in given} != {dtype}:
        found = ", ".join(str(each.dtype) for each in given)
        raise TypeError(f"features, weight and bias must be of one type, not {found}: convert them")
    if {each.device for each in (places.coordinates, *given)} != {device}:
        found = ", ".join(str(each.device) for each in (places.coordinates, *given))
        raise ValueError(
            f"coordinates, features, weight and bias must be on one device, not {found}: move them"
        )
    arguments = (features, weight, bias, kernel_map, places, invariant)
    if not torch.is_grad_enabled():  # autograd would take as long again, for nothing
        return _forward(*arguments).output
    result: Tensor = _Convolve.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


class _Forward(NamedTuple):
    """What a forward pass computed, and what backward passes need of it."""

    output: Tensor
    features: Tensor
    weight: Tensor
    normalisation: Tensor | None
    tensor_cores: bool


def _forward(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    kernel_map: KernelMap,
    places: Places,
    invariant: bool,  # autograd passes arguments by position
) -> _Forward:
    features, weight = features.contiguous(), weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    normalisation = None
    if invariant:
        normalisation = features.new_empty(kernel_map.outputs, dtype=sum_type(features.dtype))
    tensor_cores = may_use_tensor_cores(features.dtype)
    product = Product(
        features, weight, kernel_map, tensor_cores, bias=bias, normalisation=normalisation
    )
    return _Forward(multiply(product, places), features, weight, normalisation, tensor_cores)


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
        done = _forward(features, weight, bias, kernel_map, places, invariant)
        ctx.save_for_backward(done.features, done.weight, done.normalisation)
        ctx.kernel_map = kernel_map
        ctx.places = places
        ctx.tensor_cores = done.tensor_cores
        return done.output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        features, weight, scale = ctx.saved_tensors
        upstream = upstream.contiguous()
        at_features = at_weight = at_bias = None
        if ctx.needs_input_grad[0]:
            product = Product(
                upstream, weight, ctx.kernel_map, ctx.tensor_cores, backwards=True, scale=scale
            )
            at_features = multiply(product, ctx.places)
        if ctx.needs_input_grad[1]:
            at_weight = weight_gradient(
                features,
                upstream,
                weight,
                scale,
                ctx.kernel_map,
                ctx.places,
                tensor_cores=ctx.tensor_cores,
            )
        if ctx.needs_input_grad[2]:
            with torch.autocast(upstream.device.type, enabled=False):  # no other operator heeds it
                at_bias = upstream.sum(0)
        return at_features, at_weight, at_bias, None, None, None


def _autocast(tensor: Tensor) -> Tensor:
    if tensor.dtype is torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))
