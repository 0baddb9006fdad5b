"""What the oracle expects of a network that is more than sums.

Values and gradients come from the densified input where that is affordable, else from active sites;
how far off they may be always comes from the pass over active sites.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import Weights
from bench.expected import Expectation, Expected
from bench.network import INPUT, Network
from bench.operators import BatchNorm
from bench.reference import Recorded, Traced, dense_pass, draw_upstream, sparse_pass
from bench.rounding import HALF_TYPES
from bench.sites import network_sites
from bench.sparse_oracle import Map

DENSE = {Background.ZERO: "dense", Background.GROUND_STATE: "plain dense"}
"""How the densified input was checked, by background."""
LEEWAY = 5.0
HALF_LEEWAY = 20.0
"""How many times the largest change that a disturbed run made to a gradient is allowed.

Two runs are a small sample; in half types their changes are as large as the gradients themselves, and
no longer grow in proportion to the disturbance.
"""


def expect_network(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    background: Background,
    seed: int,
    affordable: float | None,
) -> Expectation:
    """Expect what the whole densified input gives, or what active sites do.

    Args:
        network: what is computed.
        weights: on the CPU, rounded to the type under test.
        batch: canonical input on the CPU, rounded to the type under test.
        background: what inactive sites hold between the layers.
        seed: of the upstream gradient and of the samples that are chosen.
        affordable: which share of the active sites may be computed; None to densify.
    """
    norms = any(isinstance(layer.operator, BatchNorm) for layer in network.layers)
    samples, part, coverage = None, batch, DENSE[background]
    if affordable is not None:
        # The statistics of a batch norm couple the samples: there it must be all of them.
        samples = None if norms else _affordable_samples(batch, affordable, seed)
        coverage = "all windows"
    if samples is not None:
        inputs = _rows_in(samples, batch)
        part = replace(
            batch, coordinates=batch.coordinates[inputs], features=batch.features[inputs]
        )
        coverage += f" of {len(samples):,} of {batch.batch_size:,} samples"

    maps: dict[str, Map] = {}

    def run(*, training: bool) -> tuple[Recorded, Traced]:
        """Return the pass that is believed, and the one that says how far."""
        traced = sparse_pass(network, weights, part, background, training=training, maps=maps)
        if affordable is not None:
            return traced, traced
        return dense_pass(network, weights, batch, background, training=training), traced

    exact, traced = run(training=norms)
    sites = exact.sites if samples is None else network_sites(network, batch)
    rows = None if samples is None else _rows_in(samples, sites)
    upstream = draw_upstream(exact.sites.sites, exact.rows.shape[1], seed, batch.features)
    inactive = sites.all_sites - sites.sites
    at_rest = None
    if exact.background is not None:
        at_rest = draw_upstream(1, exact.rows.shape[1], seed + 1, batch.features)[0]
        at_rest = at_rest / math.sqrt(inactive)
    at_background = None if at_rest is None else inactive * at_rest.double()
    gradients = {
        name: Expected(gradient, torch.full_like(gradient, _largest(gradient)), sites.sites)
        for name, gradient in exact.gradients(upstream, at_background).items()
    }
    leeway = HALF_LEEWAY if batch.features.dtype in HALF_TYPES else LEEWAY
    for side in (-1, 1):
        disturbed = sparse_pass(
            network, weights, part, background, training=norms, side=side, maps=maps
        ).gradients(upstream, at_background)
        gradients = {
            name: _with_slack(expected, disturbed[name], leeway)
            for name, expected in gradients.items()
        }
    if samples is not None and rows is not None:
        own = gradients[INPUT]
        gradients[INPUT] = replace(
            own,
            values=_spread_over(inputs, batch.sites, own.values),
            magnitude=_spread_over(inputs, batch.sites, own.magnitude),
        )
        upstream = _spread_over(rows, sites.sites, upstream)
    return Expectation(
        coordinates=sites.coordinates,
        grid_size=sites.grid_size,
        rows=rows,
        output=_expected_rows(*(run(training=False) if norms else (exact, traced))),
        upstream=upstream,
        gradients=gradients,
        coverage=coverage,
        trained=_expected_rows(exact, traced) if norms else None,
        background=_expected_background(exact, traced),
        background_upstream=at_rest,
    )


def _expected_rows(exact: Recorded, traced: Traced) -> Expected:
    values = exact.rows.detach()
    return Expected(values, values.abs(), 1, traced.reach)


def _expected_background(exact: Recorded, traced: Traced) -> Expected | None:
    if exact.background is None:
        return None
    values = exact.background.detach()
    return Expected(values, values.abs(), 1, traced.background_reach)


def _with_slack(expected: Expected, disturbed: Tensor, leeway: float) -> Expected:
    """Allow every element a multiple of the largest change that disturbing the run made."""
    slack = leeway * _largest(disturbed - expected.values)
    return replace(expected, slack=max(slack, expected.slack))


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _affordable_samples(batch: SparseBatch, share: float, seed: int) -> Tensor | None:
    """Samples drawn until their sites are more than a share of all; at least one, None for all."""
    sizes = torch.bincount(batch.coordinates[:, 0], minlength=batch.batch_size)
    order = torch.randperm(batch.batch_size, generator=torch.Generator().manual_seed(seed))
    order = order[sizes[order] > 0]
    count = max(1, int((sizes[order].cumsum(0) <= share * batch.sites).sum()))
    return None if count >= len(order) else order[:count].sort().values


def _rows_in(samples: Tensor, batch: SparseBatch) -> Tensor:
    return torch.isin(batch.coordinates[:, 0], samples).nonzero().squeeze(1)


def _spread_over(rows: Tensor, count: int, values: Tensor) -> Tensor:
    """Put rows back among as many as there were, the others 0."""
    return values.new_zeros(count, values.shape[1]).index_copy(0, rows, values)
