"""Modules on spconv's functions, from rows to rows."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Rule,
)
from bench.window import Window
from impls.empty_sums import empty_sums
from impls.spconv_implicit import ImplicitMap
from impls.spconv_maps import KernelMap, Sites, with_bias
from impls.spconv_native import NativeMap

LARGEST_IMPLICIT_KERNEL = 32
"""Number of kernel offsets up to which spconv's modules choose implicit GEMM on a GPU."""

NUMBERED_SITES = 2**32


class Rows(NamedTuple):
    """Native tensor: features `[N, C]`, and the sites of the rows."""

    features: Tensor
    sites: Sites


def kernel_map(sites: Sites, window: Window, *, submanifold: bool = False) -> KernelMap:
    """Kernel map of a window on given sites, built once.

    spconv's own modules keep those of submanifold layers only, and build those of strided layers and
    of pooling at every forward pass; in a warm pass maps are cached by definition.
    """
    implicit = is_implicit(sites, window)
    gradients = implicit and torch.is_grad_enabled()  # such a map holds more
    key = (window, submanifold, gradients)
    if key not in sites.maps:
        _ensure_numbered(sites, window)
        sites.maps[key] = (
            ImplicitMap(sites, window, submanifold=submanifold, gradients=gradients)
            if implicit
            else NativeMap(sites, window, submanifold=submanifold)
        )
    return sites.maps[key]


def _ensure_numbered(sites: Sites, window: Window) -> None:
    """Refuse grids whose sites spconv's code for CPUs does not tell apart: it cuts numbers to 32 bits.

    Raises:
        NotImplementedError: if there are more sites than these can number.
    """
    grids = sites.grid_size, window.output_grid(sites.grid_size)
    most = sites.batch_size * max(map(math.prod, grids))
    if most >= NUMBERED_SITES and not sites.indices.is_cuda:
        raise NotImplementedError(
            f"spconv numbers sites by 32 bits on a CPU, and the grid has {most:,}"
        )


def is_implicit(sites: Sites, window: Window) -> bool:
    """Whether spconv would choose implicit GEMM."""
    return sites.indices.is_cuda and window.volume <= LARGEST_IMPLICIT_KERNEL


class SpconvConvolution(nn.Module):
    """One convolution; weight `[C_out, *kernel, C_in]`."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.operator = operator
        self.weight = nn.Parameter(weight.movedim(1, -1).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)
        self.pointwise = operator.window.keeps_sites

    def prepare(self, sites: Sites) -> None:
        """Build the kernel map, and what else is derived from it."""
        if sites.count and not self.pointwise:
            submanifold = self.operator.rule is Rule.SUBMANIFOLD
            pairs = kernel_map(sites, self.operator.window, submanifold=submanifold)
            if self.operator.rule is Rule.SPARSITY_INVARIANT:
                _ = pairs.active

    def forward(self, native: Rows) -> Rows:
        """Convolve, divide where the rule says so, add the bias."""
        features, sites = native
        rule, window = self.operator.rule, self.operator.window
        submanifold = rule is Rule.SUBMANIFOLD
        if self.pointwise:
            sums = features @ self.weight.flatten(0, -2).T
            if rule is Rule.SPARSITY_INVARIANT:
                sums = sums / (1 + SPARSITY_INVARIANT_EPSILON)
            return Rows(with_bias(sums, self.bias), sites)
        if not sites.count:
            outputs = sites if submanifold else sites.after(window)
            sums = empty_sums(0, len(self.weight), features, self.weight)
            return Rows(with_bias(sums, self.bias), outputs)
        pairs = kernel_map(sites, window, submanifold=submanifold)
        outputs = sites if submanifold else pairs.outputs
        if rule is not Rule.SPARSITY_INVARIANT:
            return Rows(pairs.convolve(features, self.weight, self.bias), outputs)
        sums = pairs.convolve(features, self.weight)
        sums = sums / (pairs.active[:, None].to(sums.dtype) + SPARSITY_INVARIANT_EPSILON)
        return Rows(with_bias(sums, self.bias), outputs)


class SpconvInverseConvolution(nn.Module):
    """One transposed convolution on the kernel map of the convolution that it undoes."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.window = operator.window
        self.weight = nn.Parameter(weight.movedim(0, -1).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, source: Rows, target: Rows) -> Rows:
        """Convolve from the source's rows to the target's."""
        features, sites = source.features, target.sites
        if source.sites.count and sites.count:
            pairs = kernel_map(sites, self.window)
            rows = pairs.rows_of(source.sites)
            if rows is not None:
                features = nn.functional.pad(features, (0, 0, 0, 1))[rows]
            return Rows(pairs.convolve_back(features, self.weight, self.bias), sites)
        sums = empty_sums(sites.count, len(self.weight), features, self.weight)
        return Rows(with_bias(sums, self.bias), sites)


class SpconvMaxPooling(nn.Module):
    """spconv's maximum, corrected."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def prepare(self, sites: Sites) -> None:
        """Build the kernel map, and find the windows without an inactive site."""
        if sites.count:
            _ = kernel_map(sites, self.window).full

    def forward(self, native: Rows) -> Rows:
        """Pool."""
        features, sites = native
        if not sites.count:
            return Rows(empty_sums(0, features.shape[1], features), sites.after(self.window))
        pairs = kernel_map(sites, self.window)
        return Rows(pairs.pool(features), pairs.outputs)
