"""What the oracle expects of one network on one input: values, gradients, and how far off is allowed.

Three ways of the same float64 arithmetic, chosen by size and recorded with every verdict:

- `dense`: the whole densified input through the whole network.
- `all windows`: a single operator on every active output site's densified window.
- `sampled windows`: the same for a random sample of at least 1,000 windows; the set of active output
  sites is still exact. Used where the dense tensor would not fit, or would take minutes in float64.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.batch import SparseBatch
from bench.build import BuiltNetwork, LayerWeights, Weights
from bench.network import Network
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Convolution,
    InverseConvolution,
    MaxPooling,
    Rule,
)
from bench.oracle import POOL, Oracle
from bench.sites import neighbours, output_sites

CPU = torch.device("cpu")
"""Where the oracle computes, whatever device is under test: never on what it is to judge."""


@dataclass(frozen=True)
class OracleLimits:
    """Where the oracle changes its way: bytes, and multiply-adds of one forward pass."""

    dense_bytes: int = 2**30
    dense_multiply_adds: float = 5e7
    window_multiply_adds: float = 1e9
    fewest_windows: int = 1000
    chunk_bytes: int = 2**26


@dataclass(frozen=True, eq=False)
class Expected:
    """A float64 tensor and, element by element, the magnitude that rounding errors scale with."""

    values: Tensor
    magnitude: Tensor
    terms: int


@dataclass(frozen=True, eq=False)
class Expectation:
    """What a right implementation returns.

    Attributes:
        coordinates: active output sites in canonical order, int32 `[M, 1 + D]`.
        grid_size: the output's grid size.
        rows: which output rows were computed, int64; None for all of them.
        output: expected features of those rows.
        upstream: gradient handed to the output features, `[M, C]`, zero at rows not computed.
        gradients: expected gradients by leaf name, and under `input` at the input features.
        coverage: how it was computed, in words.
    """

    coordinates: Tensor
    grid_size: tuple[int, ...]
    rows: Tensor | None
    output: Expected
    upstream: Tensor
    gradients: dict[str, Expected] = field(default_factory=dict)
    coverage: str = "dense"


@torch.enable_grad()
def expect(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    *,
    seed: int = 0,
    limits: OracleLimits | None = None,
) -> Expectation:
    """Compute what a right implementation returns for this input and these weights.

    Args:
        network: what is computed.
        weights: in torch's layout, rounded to the type under test already.
        batch: canonical input, rounded to the type under test already.
        seed: of the upstream gradient and of sampled windows.
        limits: where to change from dense to windows.
    """
    limits = limits or OracleLimits()
    batch = batch.to(CPU)
    weights = {name: _on_cpu(layer) for name, layer in weights.items()}
    operator = network.single_operator
    windowed = isinstance(operator, Convolution | MaxPooling)
    if not windowed or _dense_is_affordable(operator, batch, limits):  # type: ignore[arg-type]
        return _expect_dense(network, weights, batch, seed)
    layer_weights = weights.get(network.layers[0].name)
    name = network.layers[0].name
    return _expect_windows(operator, name, layer_weights, batch, seed, limits)  # type: ignore[arg-type]


def _on_cpu(layer: LayerWeights) -> LayerWeights:
    return LayerWeights(layer.weight.cpu(), None if layer.bias is None else layer.bias.cpu())


def _dense_is_affordable(
    operator: Convolution | MaxPooling, batch: SparseBatch, limits: OracleLimits
) -> bool:
    output_sites_all = batch.batch_size * math.prod(operator.window.output_grid(batch.grid_size))
    channels = operator.out_channels if isinstance(operator, Convolution) else batch.channels
    size = 8 * (batch.all_sites * batch.channels + output_sites_all * channels)
    work = output_sites_all * operator.window.volume * batch.channels
    work *= channels if isinstance(operator, Convolution) else 1
    return size <= limits.dense_bytes and work <= limits.dense_multiply_adds


def _upstream(rows: int, channels: int, seed: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((rows, channels), generator=generator, dtype=torch.float64)
    return values.to(dtype=like.dtype, device=like.device)


def _expect_dense(network: Network, weights: Weights, batch: SparseBatch, seed: int) -> Expectation:
    plain = _OracleRun(network, weights, batch)
    upstream = _upstream(plain.output.sites, plain.output.channels, seed, batch.features)
    gradients = plain.gradients(upstream)
    terms = _terms(network, batch)
    if all(
        isinstance(layer.operator, Convolution | InverseConvolution) for layer in network.layers
    ):
        # In a linear network, the same network on absolute values bounds every sum's magnitude.
        absolute = _OracleRun(
            network,
            {
                name: LayerWeights(w.weight.abs(), None if w.bias is None else w.bias.abs())
                for name, w in weights.items()
            },
            batch.with_features(batch.features.abs()),
        )
        magnitude = absolute.output.features.detach()
        gradient_magnitudes = absolute.gradients(upstream.abs())
    elif isinstance(network.single_operator, MaxPooling):
        # Nothing is rounded on the way out; overlapping windows add their gradients up.
        magnitude = plain.output.features.detach().abs()
        gradient_magnitudes = plain.gradients(upstream.abs())
    else:
        magnitude = _peak(plain.output.features.detach())
        gradient_magnitudes = {name: _peak(gradient) for name, gradient in gradients.items()}
    return Expectation(
        coordinates=plain.output.coordinates,
        grid_size=plain.output.grid_size,
        rows=None,
        output=Expected(plain.output.features.detach(), magnitude, terms),
        upstream=upstream,
        gradients={
            name: Expected(gradient, gradient_magnitudes[name], max(terms, batch.sites))
            for name, gradient in gradients.items()
        },
    )


def _peak(values: Tensor) -> Tensor:
    """Magnitude where none is derived: the largest value's."""
    return values.abs().max().expand_as(values) if values.numel() else values


def _terms(network: Network, batch: SparseBatch) -> int:
    """The most products that one output value sums, times the square of the number of layers.

    Rounding errors grow with the square root of terms, and add up over layers.
    """
    sums = [
        layer.operator.window.volume * layer.operator.in_channels
        for layer in network.layers
        if isinstance(layer.operator, Convolution | InverseConvolution)
    ]
    return max([batch.channels, *sums]) * len(network.layers) ** 2


class _OracleRun:
    """One recorded pass of the oracle over a network."""

    def __init__(self, network: Network, weights: Weights, batch: SparseBatch) -> None:
        oracle = Oracle()
        self.built = BuiltNetwork(oracle, network, weights, torch.float64, batch.features.device)
        self.input = batch.features.detach().double().requires_grad_()
        self.output = oracle.decode(
            self.built(oracle.encode(batch.to(dtype=torch.float64).with_features(self.input)))
        )

    def gradients(self, upstream: Tensor) -> dict[str, Tensor]:
        leaves = {"input": self.input} | {name: tensor for name, _, tensor in self.built.leaves()}
        found = torch.autograd.grad(
            self.output.features,
            list(leaves.values()),
            upstream.double(),
            allow_unused=True,
            retain_graph=True,
        )
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
        }


def _expect_windows(
    operator: Convolution | MaxPooling,
    layer: str,
    weights: LayerWeights | None,
    batch: SparseBatch,
    seed: int,
    limits: OracleLimits,
) -> Expectation:
    sites = output_sites(operator, batch)
    channels = operator.out_channels if isinstance(operator, Convolution) else batch.channels
    work_per_window = operator.window.volume * batch.channels
    work_per_window *= channels if isinstance(operator, Convolution) else 1
    affordable = max(limits.fewest_windows, int(limits.window_multiply_adds / work_per_window))
    rows = None
    coverage = "all windows"
    if len(sites) > affordable:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(sites), generator=generator)[:affordable].sort().values
        coverage = f"{affordable:,} sampled windows of {len(sites):,}"
    chosen = sites if rows is None else sites[rows]
    upstream = _upstream(len(sites), channels, seed, batch.features)
    if rows is not None:
        kept = upstream.new_zeros(len(sites), 1)
        kept[rows] = 1
        upstream = upstream * kept
    windows = _Windows(operator, weights, batch, chosen, limits.chunk_bytes)
    chosen_upstream = (upstream if rows is None else upstream[rows]).double()
    output, gradients = windows.run(chosen_upstream, absolute=False)
    rounds = isinstance(operator, Convolution)
    magnitude, gradient_magnitudes = windows.run(chosen_upstream.abs(), absolute=rounds)
    terms = operator.window.volume * batch.channels
    return Expectation(
        coordinates=sites,
        grid_size=operator.window.output_grid(batch.grid_size),
        rows=rows,
        output=Expected(output, magnitude.abs(), terms),
        upstream=upstream,
        gradients={
            (name if name == "input" else f"{layer}.{name}"): Expected(
                gradient, gradient_magnitudes[name], max(terms, len(chosen))
            )
            for name, gradient in gradients.items()
        },
        coverage=coverage,
    )


class _Windows:
    """A single operator on densified windows, in chunks of bounded memory."""

    def __init__(
        self,
        operator: Convolution | MaxPooling,
        weights: LayerWeights | None,
        batch: SparseBatch,
        sites: Tensor,
        chunk_bytes: int,
    ) -> None:
        self.operator = operator
        self.weights = weights
        self.batch = batch
        self.sites = sites
        window_bytes = 8 * operator.window.volume * batch.channels
        self.chunk = max(1, chunk_bytes // window_bytes)

    def run(self, upstream: Tensor, *, absolute: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Output `[m, C]` and gradients of the chosen windows, plain or of absolute values."""

        def leaf(tensor: Tensor) -> Tensor:
            values = tensor.detach().double()
            return (values.abs() if absolute else values).requires_grad_()

        leaves = {"input": leaf(self.batch.features)}
        if self.weights is not None:
            leaves["weight"] = leaf(self.weights.weight)
            if self.weights.bias is not None:
                leaves["bias"] = leaf(self.weights.bias)
        totals = {name: torch.zeros_like(tensor) for name, tensor in leaves.items()}
        outputs = []
        for start in range(0, max(1, len(self.sites)), self.chunk):
            part = slice(start, start + self.chunk)
            output = self._compute(leaves, self.sites[part])
            gradients = torch.autograd.grad(output, list(leaves.values()), upstream[part])
            for name, gradient in zip(leaves, gradients, strict=True):
                totals[name] += gradient
            outputs.append(output.detach())
        return torch.cat(outputs), totals

    def _compute(self, leaves: dict[str, Tensor], sites: Tensor) -> Tensor:
        operator = self.operator
        geometry = operator.window
        rows, inside = neighbours(geometry, sites, self.batch)
        features = leaves["input"]
        padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
        windows = padded[rows].movedim(2, 1)
        if isinstance(operator, MaxPooling):
            shape = (len(sites), features.shape[1], *geometry.kernel_size)
            windows = windows.masked_fill(~inside[:, None, :], -math.inf)
            pooled = POOL[geometry.dimensions](windows.reshape(shape), geometry.kernel_size)
            return pooled.flatten(1)
        # A window as large as the kernel: the dense operator is one product of flattened taps.
        values = F.linear(windows.flatten(1), leaves["weight"].flatten(1))
        if operator.rule is Rule.SPARSITY_INVARIANT:
            count = (rows >= 0).sum(1, keepdim=True).double()
            values = values / (count + SPARSITY_INVARIANT_EPSILON)
        return values + leaves["bias"] if "bias" in leaves else values
