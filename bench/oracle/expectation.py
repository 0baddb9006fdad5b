"""Has the oracle say what a right implementation returns for one network on one input.

Ways of the same float64 arithmetic, chosen by size and recorded with every verdict:

- `dense`: the whole densified input through the whole network; `plain dense` where the ground state
  is kept: torch's own network, without sites and masks.
- `all windows`: every active output site's window; of a network, layer by layer.
- `n sampled windows`, for a single operator: a random sample of at least 1,000 of them.
- `all windows of n of B samples`, for a network: samples do not see each other.

The set of active output sites is always exact, and of all samples.
"""

import math
from dataclasses import dataclass, replace

import torch

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import LayerWeights, Weights
from bench.cost import Cost, network_cost
from bench.ground_state import check_ground_state
from bench.network import INPUT, Network
from bench.operators import Convolution, InverseConvolution, Linear, MaxPooling
from bench.oracle.expected import Expectation, Expected
from bench.oracle.network_expectation import expect_network
from bench.oracle.reference import dense_pass, draw_upstream
from bench.oracle.windows import Windows
from bench.rounding import HALF_ROUNDINGS, unit_roundoff
from bench.sites import output_sites

CPU = torch.device("cpu")
"""Where the oracle computes, whatever device is under test: never on what it is to judge."""


@dataclass(frozen=True)
class OracleLimits:
    """Where the oracle changes its way: bytes, and multiply-adds of one forward pass.

    Finding an active pair counts as `pair_multiply_adds`.
    """

    dense_bytes: int = 2**30
    dense_multiply_adds: float = 5e7
    window_multiply_adds: float = 1e9
    fewest_windows: int = 1000
    chunk_bytes: int = 2**26
    pair_multiply_adds: float = 500


@torch.enable_grad()
def expect(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    *,
    background: Background = Background.ZERO,
    seed: int = 0,
    limits: OracleLimits | None = None,
    cost: Cost | None = None,
    tf32: bool = False,
) -> Expectation:
    """Compute what a right implementation returns for this input and these weights.

    Args:
        network: what is computed.
        weights: in torch's layout, rounded to the type under test already.
        batch: canonical input, rounded to the type under test already.
        background: what inactive sites hold between the layers.
        seed: of the upstream gradient and of what is sampled.
        limits: where to change from dense to windows.
        cost: of the network on this input, where it is known already.
        tf32: whether products may be taken of values rounded to tf32.

    Raises:
        UserError: if the network does not fit the input, or has no ground state to keep.
    """
    limits = limits or OracleLimits()
    batch = batch.to(CPU)
    weights = {name: _on_cpu(layer) for name, layer in weights.items()}
    dense = _dense_is_affordable(network, batch, limits)
    if background is Background.GROUND_STATE:
        check_ground_state(network)
    else:
        operator = network.single_operator
        if isinstance(operator, Convolution | MaxPooling) and not dense:
            own = weights.get(network.layers[0].name)
            found = _expect_windows(operator, network.layers[0].name, own, batch, seed, limits)
            return _allow_tf32(found, network) if tf32 else found
        if dense and _only_sums(network):
            found = _expect_sums(network, weights, batch, seed)
            return _allow_tf32(found, network) if tf32 else found
    affordable = None
    if not dense:
        cost = cost or network_cost(network, batch)
        work = cost.multiply_adds + limits.pair_multiply_adds * cost.active_pairs
        affordable = limits.window_multiply_adds / max(1.0, work)
    dtype = torch.float16 if tf32 else batch.features.dtype  # with as many fraction bits as tf32
    return expect_network(network, weights, batch, background, seed, affordable, dtype)


def _allow_tf32(found: Expectation, network: Network) -> Expectation:
    """Allow sums as many roundings to tf32 as those of half types have; a maximum has none."""
    if isinstance(network.single_operator, MaxPooling):
        return found
    unit = HALF_ROUNDINGS * unit_roundoff(torch.float16)

    def loosened(expected: Expected) -> Expected:
        return replace(expected, slack=expected.slack + unit * expected.magnitude)

    gradients = {name: loosened(expected) for name, expected in found.gradients.items()}
    return replace(found, output=loosened(found.output), gradients=gradients)


def _on_cpu(layer: LayerWeights) -> LayerWeights:
    return LayerWeights(layer.weight.cpu(), None if layer.bias is None else layer.bias.cpu())


def _dense_is_affordable(network: Network, batch: SparseBatch, limits: OracleLimits) -> bool:
    shapes = network.shapes(batch.channels, batch.grid_size)
    sites = {name: batch.batch_size * math.prod(grid) for name, (_, grid) in shapes.items()}
    elements = sum(sites[name] * channels for name, (channels, _) in shapes.items())
    work = 0
    for position, layer in enumerate(network.layers):
        source = network.reads(position)[0]
        channels, own_channels = shapes[source][0], shapes[layer.name][0]
        match layer.operator:
            case Convolution(window=window):
                work += sites[layer.name] * window.volume * channels * own_channels
            case InverseConvolution(window=window):
                work += sites[source] * window.volume * channels * own_channels
            case MaxPooling(window=window):
                work += sites[layer.name] * window.volume * channels
            case Linear():
                work += sites[layer.name] * channels * own_channels
    return 8 * elements <= limits.dense_bytes and work <= limits.dense_multiply_adds


def _only_sums(network: Network) -> bool:
    """Whether the same network on absolute values bounds every sum's magnitude."""
    if isinstance(network.single_operator, MaxPooling):
        return True
    return all(
        isinstance(layer.operator, Convolution | InverseConvolution) for layer in network.layers
    )


def _expect_sums(network: Network, weights: Weights, batch: SparseBatch, seed: int) -> Expectation:
    plain = dense_pass(network, weights, batch)
    upstream = draw_upstream(plain.sites.sites, plain.rows.shape[1], seed, batch.features)
    if isinstance(network.single_operator, MaxPooling):
        # Nothing is rounded on the way out; overlapping windows add their gradients up.
        absolute = plain
    else:
        positive = {
            name: LayerWeights(own.weight.abs(), None if own.bias is None else own.bias.abs())
            for name, own in weights.items()
        }
        absolute = dense_pass(network, positive, batch.with_features(batch.features.abs()))
    magnitudes = absolute.gradients(upstream.abs())
    sums = [
        layer.operator.window.volume * layer.operator.in_channels
        for layer in network.layers
        if isinstance(layer.operator, Convolution | InverseConvolution)
    ]
    # Rounding errors grow with the square root of terms, and add up over layers.
    terms = max([batch.channels, *sums]) * len(network.layers) ** 2
    return Expectation(
        coordinates=plain.sites.coordinates,
        grid_size=plain.sites.grid_size,
        rows=None,
        output=Expected(plain.rows.detach(), absolute.rows.detach().abs(), terms),
        upstream=upstream,
        gradients={
            name: Expected(gradient, magnitudes[name], max(terms, batch.sites))
            for name, gradient in plain.gradients(upstream).items()
        },
    )


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
    upstream = draw_upstream(len(sites), channels, seed, batch.features)
    if rows is not None:
        kept = upstream.new_zeros(len(sites), 1)
        kept[rows] = 1
        upstream = upstream * kept
    windows = Windows(operator, weights, batch, chosen, limits.chunk_bytes)
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
            (name if name == INPUT else f"{layer}.{name}"): Expected(
                gradient, gradient_magnitudes[name], max(terms, len(chosen))
            )
            for name, gradient in gradients.items()
        },
        coverage=coverage,
    )
