"""The oracle for networks whose densified layers would be too large: active sites only, in float64.

Written for being read, and apart from every implementation: which site sees which is looked up by
`bench.sites`, and values are kept as they are, beside the one value that all other sites hold. For
any background b, a convolution's active output sites hold

    sum over active sites under the kernel of W (x - b)  +  (sum of the kernel's taps) b  +  bias

and with b = 0 that is the one rule of semantics. What rounding may change rides along, see
`bench.rounding`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from bench.background import Background
from bench.batch import SparseBatch
from bench.build import Weights
from bench.errors import UserError
from bench.network import Layer, Network
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    InverseConvolution,
    Linear,
    MaxPooling,
    Rectifier,
    Rule,
)
from bench.oracle.dense import POOL
from bench.rounding import Disturbance, roundings, unit_roundoff
from bench.sites import layer_sites, neighbours, sites_only
from bench.window import Axes, Window

Pairs = list[tuple[Tensor, Tensor]]
"""For each kernel offset the rows that are read and the rows that they are added to."""
BATCH_NORM_EPSILON = 1e-5
"""Torch's default."""
BATCH_NORM_ROUNDINGS = 8


class Uncertain(NamedTuple):
    """Values, and the variance of their rounding errors in squared unit roundoffs."""

    values: Tensor
    variance: Tensor


class Active(NamedTuple):
    """A tensor of the network.

    Attributes:
        sites: the active sites, without features.
        rows: what they hold, `[N, C]`.
        background: what every other site holds, `[C]`.
    """

    sites: SparseBatch
    rows: Uncertain
    background: Uncertain


class Map(NamedTuple):
    """Which rows a layer's window sees.

    Attributes:
        sites: the layer's output sites, of an inverse convolution its input's.
        seen: rows that each of them sees through each kernel offset, -1 for none, int64 `[M, K]`.
        inside: whether what it sees lies on the grid, bool `[M, K]`.
    """

    sites: SparseBatch
    seen: Tensor
    inside: Tensor

    def pairs(self) -> Pairs:
        """Rows that are seen, and rows of the sites that see them."""
        return [(rows[rows >= 0], (rows >= 0).nonzero().squeeze(1)) for rows in self.seen.T]


Maps = dict[str, Map]
"""By layer."""


class SparseOracle:
    """A network on active sites, differentiable in its weights and in the input's features.

    Args:
        network: what is computed.
        weights: float64, in torch's layout.
        dtype: the type under test, whose roundings are followed.
        background: what inactive sites hold between the layers.
        training: whether batch norms use the rows' own statistics.
        side: of a disturbed run, see `Disturbance`; 0 for the exact one.
        maps: by layer; where another run on the same sites left them, and where this one leaves them.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        dtype: torch.dtype,
        *,
        background: Background = Background.ZERO,
        training: bool = False,
        side: int = 0,
        maps: Maps | None = None,
    ) -> None:
        self.network = network
        self.weights = weights
        self.dtype = dtype
        self.keeps_background = background is Background.GROUND_STATE
        self.training = training
        self.maps: Maps = {} if maps is None else maps
        generator = torch.Generator().manual_seed(1 + side)
        self.disturbance = Disturbance(unit_roundoff(dtype), side, generator)

    def run(self, batch: SparseBatch) -> Active:
        """Compute the output of a canonical float64 batch."""
        nothing = batch.features.new_zeros(batch.channels)
        start = Active(
            sites_only(batch, batch.coordinates, batch.grid_size),
            Uncertain(batch.features, torch.zeros_like(batch.features)),
            Uncertain(nothing, nothing),
        )
        return self.network.evaluate(start, self._step)

    def _step(self, layer: Layer, sources: list[Active]) -> Active:
        result = self._compute(layer, sources)
        if not self.keeps_background:
            nothing = torch.zeros_like(result.background.values)
            result = result._replace(background=Uncertain(nothing, nothing))
        terms = roundings(layer.operator, self.dtype)
        rows, rest = (
            Uncertain(self.disturbance.round(some.values, terms), some.variance)
            for some in (result.rows, result.background)
        )
        return Active(result.sites, rows, rest)

    def _compute(self, layer: Layer, sources: list[Active]) -> Active:  # noqa: PLR0911  # a case each
        source = sources[0]
        match layer.operator:
            case Convolution() as operator:
                return self._convolve(layer, operator, source)
            case InverseConvolution() as operator:
                return self._invert(layer, operator, *sources)
            case MaxPooling() as operator:
                return self._pool(layer, operator, source)
            case Linear() as operator:
                every = torch.arange(source.sites.sites)
                own = self.weights[layer.name]
                taps = own.weight.T[None]
                return self._sum(operator, taps, own.bias, source, source.sites, [(every, every)])
            case Rectifier(negative_slope=slope):
                rows, background = (
                    self._rectify(some, slope) for some in (source.rows, source.background)
                )
                return Active(source.sites, rows, background)
            case BatchNorm():
                return self._normalise(layer.name, source)
            case Concatenate():
                return Active(
                    source.sites,
                    _concatenated([each.rows for each in sources]),
                    _concatenated([each.background for each in sources]),
                )
            case Add():
                return Active(
                    source.sites,
                    _added([each.rows for each in sources]),
                    _added([each.background for each in sources]),
                )
            case _:
                return source

    def _map(self, layer: str, window: Window, sites: SparseBatch, source: SparseBatch) -> Map:
        if layer not in self.maps:
            self.maps[layer] = Map(sites, *neighbours(window, sites.coordinates, source))
        return self.maps[layer]

    def _output_map(self, layer: Layer, operator: Convolution | MaxPooling, source: Active) -> Map:
        if layer.name in self.maps:
            return self.maps[layer.name]
        sites = layer_sites(layer, [source.sites])
        return self._map(layer.name, operator.window, sites, source.sites)

    def _convolve(self, layer: Layer, operator: Convolution, source: Active) -> Active:
        own, table = self.weights[layer.name], self._output_map(layer, operator, source)
        taps = own.weight.flatten(2).permute(2, 1, 0)
        if operator.rule is not Rule.SPARSITY_INVARIANT:
            return self._sum(operator, taps, own.bias, source, table.sites, table.pairs())
        count = (table.seen >= 0).sum(1, keepdim=True).double() + SPARSITY_INVARIANT_EPSILON
        return self._sum(operator, taps, own.bias, source, table.sites, table.pairs(), count)

    def _invert(
        self, layer: Layer, operator: InverseConvolution, source: Active, target: Active
    ) -> Active:
        own = self.weights[layer.name]
        table = self._map(layer.name, operator.window, source.sites, target.sites)
        pairs = [(inputs, outputs) for outputs, inputs in table.pairs()]
        taps = own.weight.flatten(2).permute(2, 0, 1)
        return self._sum(operator, taps, own.bias, source, target.sites, pairs)

    def _sum(
        self,
        operator: Convolution | InverseConvolution | Linear,
        taps: Tensor,
        bias: Tensor | None,
        source: Active,
        sites: SparseBatch,
        pairs: Pairs,
        count: Tensor | float = 1.0,
    ) -> Active:
        """The module's formula; `taps` are `[K, C_in, C_out]`, sums are divided by `count`."""
        terms = roundings(operator, self.dtype)
        rows, rest = source.rows, source.background
        values = _add_pairs(rows.values - rest.values, taps, pairs, sites.sites) / count
        constant = rest.values @ taps.sum(0)
        with torch.no_grad():
            made = rows.variance + terms * rows.values**2
            variance = _add_pairs(made, taps**2, pairs, sites.sites) / count**2
            rest_variance = rest.variance @ taps.sum(0) ** 2
            rest_variance += terms * (rest.values**2 @ (taps**2).sum(0))
            if bias is not None:
                rest_variance += terms * bias**2
        if bias is not None:
            constant = constant + bias
        return Active(
            sites,
            Uncertain(
                values + self.disturbance.spread(constant, sites.sites), variance + rest_variance
            ),
            Uncertain(constant, rest_variance),
        )

    def _pool(self, layer: Layer, operator: MaxPooling, source: Active) -> Active:
        sites, seen, inside = self._output_map(layer, operator, source)
        rows, rest = source.rows, source.background
        # Two rows more: an inactive site's value, and padding's -inf.
        seen = torch.where(seen >= 0, seen, source.sites.sites + (~inside).long())
        padding = torch.full_like(rest.values, -torch.inf)
        values = torch.cat([rows.values, rest.values[None], padding[None]])
        with torch.no_grad():
            nothing = torch.zeros_like(rest.variance)
            variance = torch.cat([rows.variance, rest.variance[None], nothing[None]])[seen]
            choice = self._choice(values[seen], variance, operator.window.kernel_size)
        values = values.gather(0, seen.gather(1, choice))
        return Active(sites, Uncertain(values, variance.amax(1)), rest)

    def _choice(self, under: Tensor, variance: Tensor, kernel_size: Axes) -> Tensor:
        """Offsets `[M, C]` of the largest of `[M, K, C]`: torch's choice.

        In a disturbed run the first or the last of those that are as large within reach.
        """
        windows = under.movedim(1, 2).unflatten(2, kernel_size)
        _, indices = POOL[len(kernel_size)](windows, kernel_size, return_indices=True)
        chosen: Tensor = indices.flatten(1)
        if not self.disturbance.side:
            return chosen
        reach = self.disturbance.reach(variance)
        best = chosen[:, None]
        near = under > under.gather(1, best) - reach.gather(1, best) - reach
        near = near.scatter(1, best, value=True).to(torch.int8)
        if self.disturbance.side < 0:
            return near.argmax(1)
        return near.shape[1] - 1 - near.flip(1).argmax(1)

    def _rectify(self, some: Uncertain, slope: float) -> Uncertain:
        values = self.disturbance.rectify(some.values, some.variance, slope)
        with torch.no_grad():
            may_pass = some.values + self.disturbance.reach(some.variance) > 0
            variance = torch.where(may_pass, some.variance, slope**2 * some.variance)
        return Uncertain(values, variance * max(1.0, slope**2))

    def _normalise(self, name: str, source: Active) -> Active:
        """Batch norm over the rows; in evaluation by the running mean 0 and variance 1."""
        rows, own = source.rows, self.weights[name]
        if self.training and source.sites.sites < 2:
            raise UserError(
                f"layer {name!r}: a batch norm trains on two active sites or more, and gets "
                f"{source.sites.sites}"
            )
        suffer, count = self.disturbance, source.sites.sites
        variable, values = torch.ones_like(own.weight), rows.values
        if self.training:
            # Each use is rounded apart: what the mean and the variance take off may cancel the rest.
            mean = suffer.round(values, count).mean(0)
            values = suffer.round(values, BATCH_NORM_ROUNDINGS) - suffer.spread(mean, count)
            variable = (suffer.round(values, count) ** 2).mean(0)
        scale = own.weight / (variable + BATCH_NORM_EPSILON).sqrt()
        values = suffer.round(values, BATCH_NORM_ROUNDINGS) * suffer.spread(scale, count)
        with torch.no_grad():
            made = rows.variance + BATCH_NORM_ROUNDINGS * rows.values**2
            if self.training:
                made += count * (rows.values**2).mean(0)
            variance = made * scale**2
            if own.bias is not None:
                variance += BATCH_NORM_ROUNDINGS * own.bias**2
        if own.bias is not None:
            values = values + suffer.spread(own.bias, count)
        return source._replace(rows=Uncertain(values, variance))


def _add_pairs(values: Tensor, taps: Tensor, pairs: Pairs, count: int) -> Tensor:
    """Multiply `[N, C_in]` with `[K, C_in, C_out]` along the pairs: `[count, C_out]`."""
    total = values.new_zeros(count, taps.shape[2])
    for tap, (inputs, outputs) in zip(taps, pairs, strict=True):
        total.index_add_(0, outputs, values.index_select(0, inputs) @ tap)
    return total


def _concatenated(parts: list[Uncertain]) -> Uncertain:
    return Uncertain(
        torch.cat([part.values for part in parts], -1),
        torch.cat([part.variance for part in parts], -1),
    )


def _added(parts: list[Uncertain]) -> Uncertain:
    values = torch.stack([part.values for part in parts]).sum(0)
    variance = torch.stack([part.variance for part in parts]).sum(0)
    return Uncertain(values, variance + values.detach() ** 2)
