"""Compares what an implementation returned with what the oracle expects."""

import math

import torch
from torch import Tensor

from bench.batch import SparseBatch
from bench.build import BuiltNetwork
from bench.expectation import Expectation, Expected
from bench.implementation import Implementation

HALF_TYPES = (torch.bfloat16, torch.float16)


def output_fault(expectation: Expectation, output: SparseBatch, dtype: torch.dtype) -> str | None:
    """Say in words what is wrong with an output, or return None."""
    if output.grid_size != expectation.grid_size:
        return f"output grid size is {output.grid_size}, expected {expectation.grid_size}"
    if output.features.dtype != dtype:
        return f"output features are {output.features.dtype}, expected {dtype}"
    coordinates = output.coordinates.cpu()
    wanted = expectation.coordinates.cpu()
    if coordinates.shape != wanted.shape or not torch.equal(coordinates, wanted):
        return _site_fault(coordinates, wanted)
    features = output.features.cpu()
    if expectation.rows is not None:
        features = features[expectation.rows]
    return value_fault("output", features, expectation.output, dtype)


def background_fault(grid: Tensor, output: SparseBatch) -> str | None:
    """Say where a whole grid `[B, C, *grid]` holds something at an inactive site, or return None."""
    stray = (grid != 0).any(1, keepdim=True) & ~output.mask()
    if not bool(stray.any()):
        return None
    sites = stray.squeeze(1).nonzero()
    return f"{len(sites):,} inactive output sites are not zero, {tuple(sites[0].tolist())} first"


def gradient_fault(
    expectation: Expectation, gradients: dict[str, Tensor], dtype: torch.dtype
) -> str | None:
    """Say in words which gradient is wrong, or return None."""
    for name, expected in expectation.gradients.items():
        fault = value_fault(f"gradient at {name}", gradients[name], expected, dtype)
        if fault is not None:
            return fault
    return None


def value_fault(what: str, actual: Tensor, expected: Expected, dtype: torch.dtype) -> str | None:
    """Say which element of a tensor is further off than rounding explains, or return None.

    An element may differ by the type's unit roundoff times the magnitude of what was summed: the sum
    of |x||w| for a convolution. Float32 and float64 sums are allowed twice the square root of the
    number of terms (Higham 2002, section 4.2, probabilistic bound); half types eight roundings, as
    their products are summed in float32 but some kernels round once an offset.
    """
    if actual.shape != expected.values.shape:
        return f"{what} has shape {tuple(actual.shape)}, expected {tuple(expected.values.shape)}"
    difference = (actual.detach().cpu().double() - expected.values.cpu()).abs()
    roundings = 8.0 if dtype in HALF_TYPES else 8 + 2 * math.sqrt(expected.terms)
    info = torch.finfo(dtype)
    allowed = roundings * info.eps / 2 * expected.magnitude.cpu() + info.tiny * expected.terms
    wrong = ~(difference <= allowed)
    if not bool(wrong.any()):
        return None
    excess = torch.where(torch.isnan(difference), math.inf, difference - allowed)
    place = int(excess.flatten().argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), difference.shape)]
    found = float(actual.detach().flatten()[place])
    wanted = float(expected.values.flatten()[place])
    return (
        f"{what} is wrong in {int(wrong.sum()):,} of {wrong.numel():,} values; the worst, at {index}, "
        f"is {found:.9g}, expected {wanted:.9g} within {float(allowed.flatten()[place]):.2g}"
    )


def run_with_gradients(
    implementation: Implementation,
    built: BuiltNetwork,
    batch: SparseBatch,
    upstream: Tensor,
) -> tuple[SparseBatch, dict[str, Tensor]]:
    """Run encode, network and decode recorded; return output and gradients in torch's layout."""
    features = batch.features.detach().clone().requires_grad_()
    output = implementation.decode(built(implementation.encode(batch.with_features(features))))
    leaves = built.leaves()
    if not output.features.requires_grad:
        # A module that cuts the graph has no gradients: said as a wrong gradient, not as a crash.
        found: tuple[Tensor | None, ...] = (None,) * (1 + len(leaves))
    else:
        found = torch.autograd.grad(
            output.features,
            [features, *(tensor for _, _, tensor in leaves)],
            upstream.to(output.features),
            allow_unused=True,
        )
    gradients = {"input": _or_zero(found[0], features)}
    for (name, operator, tensor), gradient in zip(leaves, found[1:], strict=True):
        gradients[name] = built.torch_layout(name, operator, _or_zero(gradient, tensor))
    return output, gradients


def _or_zero(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _site_fault(coordinates: Tensor, wanted: Tensor) -> str:
    found = {tuple(row) for row in coordinates.tolist()}
    needed = {tuple(row) for row in wanted.tolist()}
    missing, spurious = sorted(needed - found), sorted(found - needed)
    if not missing and not spurious:
        return (
            "output sites are not in canonical order"
            if len(coordinates) == len(wanted)
            else f"output has {len(coordinates) - len(found):,} repeated sites"
        )
    parts = []
    if missing:
        parts.append(f"{len(missing):,} active output sites are missing, {missing[0]} first")
    if spurious:
        parts.append(f"{len(spurious):,} output sites should be inactive, {spurious[0]} first")
    return "; ".join(parts)
