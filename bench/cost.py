"""What a network must do at least: multiply-adds on active pairs, dense multiply-adds, bytes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.batch import SparseBatch
from bench.network import INPUT, Network
from bench.operators import Convolution, InverseConvolution, Linear, MaxPooling
from bench.phases import Phase
from bench.sites import active_pairs, output_sites


@dataclass(frozen=True)
class Cost:
    """Work of one forward pass.

    Attributes:
        active_pairs: (input site, output site, kernel offset) triples.
        multiply_adds: on active pairs.
        dense_multiply_adds: of the same layers computed on the whole grid.
        output_sites: active sites of the last layer.
        output_channels: channels of the last layer.
        elements: numbers read and written at least once: input, every layer's output, weights.
    """

    active_pairs: int
    multiply_adds: int
    dense_multiply_adds: int
    output_sites: int
    output_channels: int
    elements: int


def network_cost(network: Network, batch: SparseBatch) -> Cost:
    """Count the work of a forward pass from coordinates alone."""
    batch = batch.sorted()
    shapes = network.shapes(batch.channels, batch.grid_size)
    known: dict[str, Tensor] = {INPUT: batch.coordinates}
    pairs_all = multiply_adds = dense = 0
    elements = batch.features.numel()
    for position, layer in enumerate(network.layers):
        reads = network.reads(position)
        channels, grid_size = shapes[reads[0]]
        source = _sites_only(known[reads[0]], batch, grid_size)
        operator = layer.operator
        out_channels, out_grid = shapes[layer.name]
        pairs, dense_pairs = 0, 0
        match operator:
            case Convolution() | MaxPooling():
                known[layer.name] = output_sites(operator, source)
                pairs = active_pairs(operator.window, known[layer.name], source)
                dense_pairs = batch.batch_size * math.prod(out_grid) * operator.window.volume
            case InverseConvolution():
                target = _sites_only(known[reads[1]], batch, out_grid)
                known[layer.name] = target.coordinates
                pairs = active_pairs(operator.window, source.coordinates, target)
                dense_pairs = batch.batch_size * math.prod(grid_size) * operator.window.volume
            case _:
                known[layer.name] = source.coordinates
                if isinstance(operator, Linear):
                    pairs = source.sites
                    dense_pairs = batch.batch_size * math.prod(grid_size)
        if isinstance(operator, Convolution | InverseConvolution | Linear):
            multiply_adds += pairs * channels * out_channels
            dense += dense_pairs * channels * out_channels
            elements += math.prod(operator.weight_shape)
        pairs_all += pairs
        elements += len(known[layer.name]) * out_channels
    last = network.layers[-1].name
    return Cost(
        active_pairs=pairs_all,
        multiply_adds=multiply_adds,
        dense_multiply_adds=dense,
        output_sites=len(known[last]),
        output_channels=shapes[last][0],
        elements=elements,
    )


def phase_multiply_adds(phase: Phase, multiply_adds: int) -> int:
    """Multiply-adds of a phase: a backward pass does a forward pass's work twice."""
    match phase:
        case Phase.FORWARD | Phase.FORWARD_COLD:
            return multiply_adds
        case Phase.BACKWARD:
            return 2 * multiply_adds
        case Phase.TRAIN_STEP:
            return 3 * multiply_adds
        case _:
            return 0


def phase_bytes(phase: Phase, cost: Cost, batch: SparseBatch, element_bytes: int) -> int:
    """Bytes that a phase must move at least once, coordinates included where it touches them."""
    coordinates = 4 * batch.sites * (1 + batch.dimensions)
    values = cost.elements * element_bytes
    features = batch.features.numel() * element_bytes
    return {
        Phase.ENCODE: coordinates + 2 * features,
        Phase.MAP: coordinates + 8 * cost.active_pairs,
        Phase.FORWARD: values,
        Phase.BACKWARD: 2 * values,
        Phase.DECODE: cost.output_sites
        * (4 * (1 + batch.dimensions) + 2 * cost.output_channels * element_bytes),
        Phase.FORWARD_COLD: coordinates + values,
        Phase.TRAIN_STEP: coordinates + 3 * values,
    }[phase]


def _sites_only(coordinates: Tensor, batch: SparseBatch, grid_size: tuple[int, ...]) -> SparseBatch:
    features = torch.empty((len(coordinates), 0), device=coordinates.device)
    return SparseBatch(coordinates, features, batch.batch_size, grid_size)
