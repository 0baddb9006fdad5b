"""What the oracle expects of a network that is more than sums.

Values and gradients come from the densified input where that is affordable, else from active sites;
how far off they may be always comes from passes over active sites.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import Weights
from bench.network import INPUT, Network
from bench.oracle.expected import Expectation, Expected
from bench.oracle.reference import Recorded, Traced, dense_pass, draw_upstream, sparse_pass
from bench.oracle.sparse import Maps
from bench.sites import network_sites

DENSE = {Background.ZERO: "dense", Background.GROUND_STATE: "plain dense"}
"""How the densified input is checked, by background."""
LEEWAY = {torch.float32: 10.0, torch.float64: 20.0, torch.bfloat16: 20.0, torch.float16: 20.0}
"""How many times the largest change that a disturbed pass made to a gradient is allowed.

Two passes are a small sample, and do not know in which order an implementation sums: where the
true gradient is 0, as at a bias before a batch norm, spconv was off by 6.5 times. In float64 the oracle
itself is off as much; in half types the changes are as large as the gradients, and no longer grow in
proportion to the disturbance.
"""


def expect_network(
    network: Network,
    weights: Weights,
    batch: SparseBatch,
    background: Background,
    seed: int,
    affordable: float | None,
    dtype: torch.dtype,
) -> Expectation:
    """Expect what the whole densified input gives, or what its active sites do.

    Args:
        network: what is computed.
        weights: on the CPU, rounded to the type under test.
        batch: canonical input on the CPU, rounded to the type under test.
        background: what inactive sites hold between the layers.
        seed: of the upstream gradient and of the samples that are chosen.
        affordable: which share of the active sites may be computed; None to densify.
        dtype: the type under test, whose roundings are followed.
    """
    sites = network_sites(network, batch)
    inactive = sites.all_sites - sites.sites
    if affordable is None:
        return _Passes(network, weights, batch, background, dtype, dense=True).expect(
            seed, inactive
        )
    samples = None
    if not network.has_norms:
        # A batch norm's statistics couple the samples: there it must be all of them.
        samples = _affordable_samples(batch, affordable, seed)
    if samples is None:
        return _Passes(network, weights, batch, background, dtype).expect(seed, inactive)
    inputs, rows = _rows_in(samples, batch), _rows_in(samples, sites)
    part = replace(batch, coordinates=batch.coordinates[inputs], features=batch.features[inputs])
    found = _Passes(network, weights, part, background, dtype).expect(seed, inactive)
    own = found.gradients[INPUT]
    at_input = replace(
        own,
        values=_among(batch.sites, inputs, own.values),
        magnitude=_among(batch.sites, inputs, own.magnitude),
    )
    return replace(
        found,
        coordinates=sites.coordinates,
        rows=rows,
        upstream=_among(sites.sites, rows, found.upstream),
        gradients=found.gradients | {INPUT: at_input},
        coverage=f"{found.coverage} of {len(samples):,} of {batch.batch_size:,} samples",
    )


@dataclass(frozen=True, eq=False)
class _Passes:
    """The passes of the oracle over one network and input."""

    network: Network
    weights: Weights
    batch: SparseBatch
    background: Background
    dtype: torch.dtype
    dense: bool = False
    maps: Maps = field(default_factory=dict)

    def expect(self, seed: int, inactive: int) -> Expectation:
        """Put an expectation together; `inactive` output sites hold the background."""
        norms = self.network.has_norms
        exact, traced = self.run(training=norms)
        channels = exact.rows.shape[1]
        upstream = draw_upstream(exact.sites.sites, channels, seed, self.batch.features)
        constant = at_rest = None
        if inactive and exact.background is not None:
            constant = _expected(exact.background, traced.background_reach)
            at_rest = draw_upstream(1, channels, seed + 1, self.batch.features)[0]
            at_rest = at_rest / math.sqrt(inactive)
        return Expectation(
            coordinates=exact.sites.coordinates,
            grid_size=exact.sites.grid_size,
            rows=None,
            output=self.evaluated() if norms else _expected(exact.rows, traced.reach),
            upstream=upstream,
            gradients=self.gradients(
                exact, upstream, None if at_rest is None else inactive * at_rest.double()
            ),
            coverage=DENSE[self.background] if self.dense else "all windows",
            trained=_expected(exact.rows, traced.reach) if norms else None,
            background=constant,
            background_upstream=at_rest,
        )

    def run(self, *, training: bool) -> tuple[Recorded, Traced]:
        """Return the pass that is believed, and the one that says how far."""
        traced = self.traced(training=training)
        if not self.dense:
            return traced, traced
        return dense_pass(
            self.network, self.weights, self.batch, self.background, training=training
        ), traced

    def evaluated(self) -> Expected:
        """The output in evaluation."""
        exact, traced = self.run(training=False)
        return _expected(exact.rows, traced.reach)

    def gradients(
        self, exact: Recorded, upstream: Tensor, at_background: Tensor | None
    ) -> dict[str, Expected]:
        """Gradients in training, which may be off by what disturbing the pass changes."""
        expected = exact.gradients(upstream, at_background)
        slack = dict.fromkeys(expected, 0.0)
        for side in (-1, 1):
            traced = self.traced(training=self.network.has_norms, side=side)
            for name, disturbed in traced.gradients(upstream, at_background).items():
                slack[name] = max(slack[name], _largest(disturbed - expected[name]))
        leeway = LEEWAY[self.dtype]
        return {
            name: Expected(
                values,
                torch.full_like(values, _largest(values)),
                terms=len(upstream),
                slack=leeway * slack[name],
            )
            for name, values in expected.items()
        }

    def traced(self, *, training: bool, side: int = 0) -> Traced:
        """Pass over the active sites."""
        return sparse_pass(
            self.network,
            self.weights,
            self.batch,
            self.background,
            self.dtype,
            training=training,
            side=side,
            maps=self.maps,
        )


def _expected(values: Tensor, reach: Tensor) -> Expected:
    return Expected(values.detach(), values.detach().abs(), terms=1, slack=reach)


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


def _among(count: int, rows: Tensor, values: Tensor) -> Tensor:
    """Put rows back to where they were among `count`, the others 0."""
    return values.new_zeros(count, values.shape[1]).index_copy(0, rows, values)
