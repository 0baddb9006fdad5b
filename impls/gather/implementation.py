"""The implementation `gather`: its native tensor and its modules."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.implementation import Implementation, source_digest
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Operator,
    Rule,
)
from bench.phases import Phase
from impls.gather import compiled
from impls.gather.multiply import multiply_pairs, pool
from impls.gather.pairs import Pairs
from impls.gather.sites import Sites, turned_round

FOLDER = Path(__file__).parent


class Rows(NamedTuple):
    """Native tensor: features `[N, C]` of the sites' rows, and the sites with their kernel maps."""

    features: Tensor
    sites: Sites


class Gather(Implementation):
    """Active pairs only: compiled loops on a CPU, else a matrix product for each offset."""

    name: ClassVar[str] = "gather"
    version: ClassVar[str] = source_digest(FOLDER) + ("" if compiled.NUMBA else " without numba")
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

    def prepare(self) -> None:
        """Compile, or load, the loops."""
        compiled.prepare()

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
        """Build the pairs, or what each window of a pooling sees."""
        if isinstance(module, GatherConvolution | GatherMaxPooling):
            module.prepare(native.sites)

    def ablations(self, module: nn.Module, native: Rows) -> dict[str, Callable[[], object]]:
        """Leave out gathering, or scattering, of the compiled loop: neighbouring rows instead."""
        if not isinstance(module, GatherConvolution) or not compiled.usable(native.features):
            return {}
        pairs, _ = module.kernel_map(native.sites)
        return {
            "gather": partial(module.on_pairs, native.features, pairs.with_rows_in_order("inputs")),
            "scatter": partial(
                module.on_pairs, native.features, pairs.with_rows_in_order("outputs")
            ),
        }

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
        """Build the kernel map, and what else is derived from it."""
        pairs, _ = self.kernel_map(sites)
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            _ = pairs.active

    def forward(self, native: Rows) -> Rows:
        """Gather, multiply, add."""
        pairs, outputs = self.kernel_map(native.sites)
        return Rows(self.on_pairs(native.features, pairs), outputs)

    def on_pairs(self, features: Tensor, pairs: Pairs) -> Tensor:
        """Compute output rows `[M, C_out]` of a kernel map."""
        if self.operator.rule is not Rule.SPARSITY_INVARIANT:
            return multiply_pairs(features, self.weight, self.bias, pairs)
        sums = multiply_pairs(features, self.weight, None, pairs)
        means = sums / (pairs.active.to(sums) + SPARSITY_INVARIANT_EPSILON)[:, None]
        return means if self.bias is None else means + self.bias

    def kernel_map(self, sites: Sites) -> tuple[Pairs, Sites]:
        """Pairs and output sites, built once for these sites."""
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
        pairs = turned_round(pairs, coarse, source.sites, target.sites)
        return Rows(multiply_pairs(source.features, self.weight, self.bias, pairs), target.sites)


class GatherMaxPooling(nn.Module):
    """Max pooling over active sites, with 0 wherever the window holds an inactive one."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def prepare(self, sites: Sites) -> None:
        """Find what each window sees."""
        sites.windows(self.window)

    def forward(self, native: Rows) -> Rows:
        """Take the first largest site of each window."""
        windows, outputs = native.sites.windows(self.window)
        return Rows(pool(native.features, windows), outputs)
