"""What a network must do at least: multiply-adds on active pairs, dense multiply-adds, bytes."""

import math
from dataclasses import dataclass

from bench.batch import SparseBatch
from bench.network import Layer, Network
from bench.operators import (
    Convolution,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
    Rule,
)
from bench.phases import Phase
from bench.sites import active_pairs, all_pairs, layer_sites


@dataclass(frozen=True)
class Cost:
    """Work of one forward pass.

    Attributes:
        active_pairs: (input site, output site, kernel offset) triples of layers with a kernel.
        kernel_outputs: active output sites of these layers.
        multiply_adds: on active pairs.
        dense_multiply_adds: of the same layers computed on the whole grid.
        output_sites: active sites of the last layer.
        output_channels: channels of the last layer.
        elements: numbers read and written at least once: input, every layer's output, weights.
    """

    active_pairs: int
    kernel_outputs: int
    multiply_adds: int
    dense_multiply_adds: int
    output_sites: int
    output_channels: int
    elements: int


def network_cost(network: Network, batch: SparseBatch) -> Cost:
    """Count the work of a forward pass from coordinates alone."""
    shapes = network.shapes(batch.channels, batch.grid_size)
    active = outputs = multiply_adds = dense = 0
    elements = batch.features.numel()

    def step(layer: Layer, sources: list[SparseBatch]) -> SparseBatch:
        nonlocal active, outputs, multiply_adds, dense, elements
        operator = layer.operator
        sites = layer_sites(layer, sources)
        pairs, dense_pairs = _pairs(operator, sources, sites)
        if isinstance(operator, Convolution | InverseConvolution | Linear):
            products = operator.in_channels * operator.out_channels
            multiply_adds += pairs * products
            dense += dense_pairs * products
            elements += math.prod(operator.weight_shape)
        if isinstance(operator, Convolution | InverseConvolution | MaxPooling):
            active += pairs
            outputs += sites.sites
        elements += sites.sites * shapes[layer.name][0]
        return sites

    output = network.evaluate(batch.sorted(), step)
    return Cost(
        active_pairs=active,
        kernel_outputs=outputs,
        multiply_adds=multiply_adds,
        dense_multiply_adds=dense,
        output_sites=output.sites,
        output_channels=shapes[network.layers[-1].name][0],
        elements=elements,
    )


def _pairs(operator: Operator, sources: list[SparseBatch], sites: SparseBatch) -> tuple[int, int]:
    """Pairs of input and output site that an operator has, and would have on the whole grid."""
    source = sources[0]
    match operator:
        case Convolution(rule=Rule.SUBMANIFOLD, window=window):
            pairs = active_pairs(window, sites.coordinates, source)
            return pairs, sites.all_sites * window.volume
        case Convolution(window=window) | MaxPooling(window=window):
            return all_pairs(window, source), sites.all_sites * window.volume
        case InverseConvolution(window=window):
            pairs = active_pairs(window, source.coordinates, sites)
            return pairs, source.all_sites * window.volume
        case Linear():
            return source.sites, source.all_sites
        case _:
            return 0, 0


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
