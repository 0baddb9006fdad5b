"""Modules on MinkowskiEngine's functions, from rows to rows."""

from typing import NamedTuple

import MinkowskiEngine
from torch import Tensor, nn

from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Rule,
)
from bench.window import Axes
from impls.empty_sums import empty_sums
from impls.minkowski_sites import (
    Kernel,
    Sites,
    build_kernel_map,
    convolve,
    convolve_transposed,
    new_sites,
    pool,
)


class Rows(NamedTuple):
    """Native tensor: features `[N, C]`, and the sites of the rows."""

    features: Tensor
    sites: Sites


def insert_rows(
    features: Tensor, coordinates: Tensor, batch_size: int, grid_size: Axes, *, canonical: bool
) -> Rows:
    """Put coordinates, int32 `[N, 1 + D]`, into a new manager; features go along with them."""
    sites = new_sites(batch_size, grid_size, coordinates.device)
    order = sites.insert(coordinates, canonical=canonical)
    return Rows(features if order is None else features[order], sites)


class MinkowskiConvolution(nn.Module):
    """One convolution; weight `[K, C_in, C_out]`, the first axis of the kernel fastest."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.operator = operator
        self.kernel = Kernel(operator.window)
        self.weight = nn.Parameter(engine_weight(weight))
        self.bias = None if bias is None else nn.Parameter(bias)
        self.pointwise = operator.window.keeps_sites

    def prepare(self, sites: Sites) -> None:
        """Build the kernel map, and what else is derived from the sites."""
        outputs = self._outputs(sites)
        if outputs.count and not self.pointwise:
            build_kernel_map(self.kernel, sites, outputs, pooling=False)
            if self.operator.rule is Rule.SPARSITY_INVARIANT:
                sites.active_under(self.kernel, outputs)

    def forward(self, native: Rows) -> Rows:
        """Convolve, divide where the rule says so, add the bias."""
        features, sites = native
        outputs = self._outputs(sites)
        invariant = self.operator.rule is Rule.SPARSITY_INVARIANT
        if not outputs.count:
            features = empty_sums(0, self.weight.shape[-1], features, self.weight)
        elif self.pointwise:
            features = features @ self.weight[0]
            if invariant:
                features = features / (1 + SPARSITY_INVARIANT_EPSILON)
        else:
            features = convolve(
                features, self.weight, self.kernel, sites.manager, sites.key, outputs.key
            )
            if invariant:
                count = sites.active_under(self.kernel, outputs).to(features.dtype)
                features = features / (count + SPARSITY_INVARIANT_EPSILON)
        if self.bias is not None:
            features += self.bias
        return Rows(features, outputs)

    def _outputs(self, sites: Sites) -> Sites:
        if self.pointwise or self.operator.rule is Rule.SUBMANIFOLD:
            return sites
        return sites.after(self.operator.window)


class MinkowskiInverseConvolution(nn.Module):
    """One transposed convolution on the kernel map of the convolution that it undoes."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.kernel = Kernel(operator.window)
        self.weight = nn.Parameter(engine_weight(weight.transpose(0, 1)))
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, source: Rows, target: Rows) -> Rows:
        """Convolve from the source's rows to the target's."""
        features, sites = source.features, target.sites
        if source.sites.count and sites.count:
            key, order = sites.aligned(source.sites, self.kernel.window)
            if order is not None:
                features = features[order]
            features = convolve_transposed(
                features, self.weight, self.kernel, sites.manager, key, sites.key
            )
        else:
            features = empty_sums(sites.count, self.weight.shape[-1], features, self.weight)
        if self.bias is not None:
            features += self.bias
        return Rows(features, sites)


class MinkowskiMaxPooling(nn.Module):
    """The library's maximum over active sites, raised to 0 where the window holds an inactive one."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.kernel = Kernel(operator.window)

    def prepare(self, sites: Sites) -> None:
        """Build the kernel map, and find the windows that hold an inactive site."""
        outputs = sites.after(self.kernel.window)
        if outputs.count:
            build_kernel_map(self.kernel, sites, outputs, pooling=True)
            sites.pooling_floor(self.kernel, outputs)

    def forward(self, native: Rows) -> Rows:
        """Pool, then raise."""
        features, sites = native
        outputs = sites.after(self.kernel.window)
        if not outputs.count:
            return Rows(empty_sums(0, features.shape[1], features), outputs)
        mode = MinkowskiEngine.PoolingMode.LOCAL_MAX_POOLING
        features = pool(features, mode, self.kernel, sites, outputs)
        floor = sites.pooling_floor(self.kernel, outputs)
        if floor is not None:
            features = features.clamp(min=floor)
        return Rows(features, outputs)


def engine_weight(weight: Tensor) -> Tensor:
    """Bring `[C_out, C_in, *kernel]` to `[K, C_in, C_out]`, the first axis of the kernel fastest."""
    turned = weight.permute(*range(weight.ndim - 1, -1, -1))
    return turned.flatten(0, -3).contiguous()


def torch_weight(weight: Tensor, kernel_size: tuple[int, ...]) -> Tensor:
    """Undo `engine_weight`."""
    taps = weight.unflatten(0, kernel_size[::-1])
    turned: Tensor = taps.permute(*range(taps.ndim - 1, -1, -1))
    return turned
