"""Recorded float64 passes of the oracle over a network: dense, or on active sites."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch, from_dense
from bench.build import BuiltNetwork, LayerWeights, Weights
from bench.network import INPUT, Network
from bench.oracle.dense import Oracle
from bench.oracle.plain_dense import plain_dense
from bench.oracle.sparse import Maps, SparseOracle
from bench.sites import network_sites


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a pass returned, recorded for gradients.

    Attributes:
        sites: active output sites, without features.
        rows: what they hold, `[M, C]`.
        background: what every other site holds, `[C]`; None where that is 0, or there is none.
        leaves: what gradients are taken at, by name; `input` for the input's features.
    """

    sites: SparseBatch
    rows: Tensor
    background: Tensor | None
    leaves: dict[str, Tensor]

    def gradients(
        self, upstream: Tensor, background_upstream: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Gradients for an upstream at the rows, `[M, C]`, and one at the background, `[C]`."""
        outputs, upstreams = [self.rows], [upstream.double()]
        if (
            self.background is not None
            and self.background.requires_grad  # without weights before it, it is 0 and stays so
            and background_upstream is not None
        ):
            outputs.append(self.background)
            upstreams.append(background_upstream.double())
        found = torch.autograd.grad(
            outputs, list(self.leaves.values()), upstreams, allow_unused=True, retain_graph=True
        )
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(self.leaves.items(), found, strict=True)
        }


@dataclass(frozen=True, eq=False)
class Traced(Recorded):
    """A recorded pass that knows what rounding may do to it.

    Attributes:
        reach: how far off each of `rows` may be, `[M, C]`.
        background_reach: the same of the background, `[C]`.
    """

    reach: Tensor
    background_reach: Tensor


def dense_pass(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    background: Background = Background.ZERO,
    *,
    training: bool = False,
) -> Recorded:
    """Run the densified input through the network."""
    features = batch.features.detach().double().requires_grad_()
    batch = batch.with_features(features)
    if background is Background.GROUND_STATE:
        own, leaves = _leaves(weights, features)
        values = plain_dense(network, own, batch.dense())
        sites = network_sites(network, batch)
        rest = values.movedim(1, -1)[~sites.mask().squeeze(1)]
        # They are all the same; the mean hands each its share of the gradient.
        ground = rest.mean(0) if len(rest) else None
        return Recorded(sites, from_dense(values, sites.mask()).features, ground, leaves)
    oracle = Oracle()
    built = BuiltNetwork(oracle, network, weights, torch.float64, features.device).eval()
    if training:
        built.training_with(dropout=False)
    output = oracle.decode(built(oracle.encode(batch)))
    leaves = {INPUT: features} | {name: leaf for name, _, leaf in built.leaves()}
    return Recorded(output.with_features(output.features[:, :0]), output.features, None, leaves)


def sparse_pass(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    background: Background,
    dtype: torch.dtype,
    *,
    training: bool = False,
    side: int = 0,
    maps: Maps | None = None,
) -> Traced:
    """Run active sites through the network, and follow the roundings of a type.

    A `side` other than 0 disturbs the run by them, see `bench.rounding`. Passes over the same sites
    may share `maps`.
    """
    features = batch.features.detach().double().requires_grad_()
    own, leaves = _leaves(weights, features)
    oracle = SparseOracle(
        network,
        own,
        dtype,
        background=background,
        training=training,
        side=side,
        maps=maps,
    )
    output = oracle.run(batch.with_features(features))
    keeps = background is Background.GROUND_STATE and output.sites.sites < output.sites.all_sites
    return Traced(
        output.sites,
        output.rows.values,
        output.background.values if keeps else None,
        leaves,
        reach=oracle.disturbance.reach(output.rows.variance),
        background_reach=oracle.disturbance.reach(output.background.variance),
    )


def draw_upstream(rows: int, channels: int, seed: int, like: Tensor) -> Tensor:
    """Draw a gradient `[rows, channels]` to hand to an output, rounded to the type of `like`."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((rows, channels), generator=generator, dtype=torch.float64)
    return values.to(dtype=like.dtype, device=like.device)


def _leaves(weights: Weights, features: Tensor) -> tuple[Weights, dict[str, Tensor]]:
    """Float64 copies of the weights that record gradients, as weights and by name."""

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.detach().double().requires_grad_()

    own = {
        name: LayerWeights(leaf(layer.weight), None if layer.bias is None else leaf(layer.bias))
        for name, layer in weights.items()
    }
    leaves = {INPUT: features}
    for name, layer in own.items():
        leaves[f"{name}.weight"] = layer.weight
        if layer.bias is not None:
            leaves[f"{name}.bias"] = layer.bias
    return own, leaves
