"""Compares what an implementation returned with what the oracle expects."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.batch import SparseBatch
from bench.build import Answer, BuiltNetwork
from bench.implementation import Implementation
from bench.network import INPUT
from bench.oracle.expected import Expectation, Expected
from bench.rounding import HALF_ROUNDINGS, HALF_TYPES


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


def background_fault(
    grid: Tensor, output: SparseBatch, expected: Expected | None = None
) -> str | None:
    """Say where a whole grid `[B, C, *grid]` is wrong at an inactive site, or return None.

    Args:
        grid: what was returned.
        output: the active output sites.
        expected: what every other site is to hold, `[C]`; None for exactly 0.
    """
    inactive = ~output.mask().squeeze(1)
    if expected is not None:
        return constant_fault(grid.movedim(1, -1)[inactive], expected)
    stray = (grid != 0).any(1) & inactive
    if not bool(stray.any()):
        return None
    sites = stray.nonzero()
    return f"{len(sites):,} inactive output sites are not zero, {tuple(sites[0].tolist())} first"


def constant_fault(values: Tensor, expected: Expected) -> str | None:
    """Say in words what is wrong with a ground state `[C]`, or with many `[n, C]`, or return None."""
    repeated = replace(
        expected,
        values=expected.values.expand_as(values),
        magnitude=expected.magnitude.expand_as(values),
    )
    return value_fault("ground state", values, repeated, values.dtype)


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
    their products are summed in float32 but some kernels round once an offset. Every rounding may also
    lose what is smaller than the type's smallest normal number. Networks have slack, too: see
    `bench.rounding`.
    """
    if actual.shape != expected.values.shape:
        return f"{what} has shape {tuple(actual.shape)}, expected {tuple(expected.values.shape)}"
    difference = (actual.detach().cpu().double() - expected.values.cpu()).abs()
    roundings = HALF_ROUNDINGS if dtype in HALF_TYPES else 8 + 2 * math.sqrt(expected.terms)
    info = torch.finfo(dtype)
    allowed = roundings * (info.eps / 2 * expected.magnitude.cpu() + info.tiny)
    # Every product may underflow, but in the type that is summed in.
    summed = torch.float32 if dtype in HALF_TYPES else dtype
    allowed = allowed + torch.finfo(summed).tiny * expected.terms + expected.slack
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
    built: BuiltNetwork,
    batch: SparseBatch,
    upstream: Tensor,
    background_upstream: Tensor | None = None,
    *,
    apart: bool = False,
) -> tuple[SparseBatch, dict[str, Tensor]]:
    """Run encode, network and decode recorded; return output and gradients in torch's layout.

    Args:
        built: the network.
        batch: canonical input.
        upstream: gradient at the output features, `[M, C]`.
        background_upstream: gradient at each inactive output site, `[C]`; None for zeros.
        apart: whether these two are not contiguous, as the gradient of a sum is not, either.
    """
    implementation = built.implementation
    features = batch.features.detach().clone().requires_grad_()
    answer = built.answer(implementation.encode(batch.with_features(features)))
    output = implementation.decode(answer.native)
    pulled = [(output.features, upstream)]
    if background_upstream is not None:
        pulled.append((_background_sum(implementation, answer, output), background_upstream))
    pulled = [(tensor, gradient) for tensor, gradient in pulled if tensor.requires_grad]
    leaves = built.leaves()
    # A module that cuts the graph has no gradients: said as a wrong gradient, not as a crash.
    found: tuple[Tensor | None, ...] = (None,) * (1 + len(leaves))
    if pulled:
        found = torch.autograd.grad(
            [tensor for tensor, _ in pulled],
            [features, *(tensor for _, _, tensor in leaves)],
            # Copies: a backward pass that writes to its upstream would change it for everybody.
            [_copied(gradient.to(tensor), apart=apart) for tensor, gradient in pulled],
            allow_unused=True,
        )
    gradients = {INPUT: _or_zero(found[0], features)}
    for (name, operator, tensor), gradient in zip(leaves, found[1:], strict=True):
        gradients[name] = built.torch_layout(name, operator, _or_zero(gradient, tensor))
    return output, gradients


def _copied(values: Tensor, *, apart: bool) -> Tensor:
    return torch.stack([values, values], -1)[..., 0] if apart else values.clone()


def _background_sum(implementation: Implementation, answer: Answer, output: SparseBatch) -> Tensor:
    """Sum over all inactive output sites of what they hold: `[C]`."""
    values = implementation.features(answer.native)
    if values.ndim > 2:
        return (values * ~output.mask()).flatten(2).sum((0, 2))
    if answer.background is None:
        return values.new_zeros(values.shape[1])
    return answer.background * (output.all_sites - output.sites)


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
