"""Weights that training starts from."""

import torch

from bench.build import LayerWeights, Weights
from bench.network import Network
from bench.operators import BatchNorm, Convolution, InverseConvolution, Weighted

RECTIFIED_GAIN = 2.0
"""Variance that a rectifier halves (He et al. 2015, equation 10)."""


def starting_weights(network: Network, seed: int, dtype: torch.dtype) -> Weights:
    """Draw weights from N(0, 2/fan-in), on the CPU; biases are 0 and batch norms the identity.

    Drawn in float64, so that every type rounds the same numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for layer in network.layers:
        operator = layer.operator
        if not isinstance(operator, Weighted):
            continue
        shape = operator.weight_shape
        if isinstance(operator, BatchNorm):
            weights[layer.name] = LayerWeights(
                torch.ones(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
            )
            continue
        fan_in = operator.in_channels
        if isinstance(operator, Convolution | InverseConvolution):
            fan_in *= operator.window.volume
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        weight = drawn * (RECTIFIED_GAIN / fan_in) ** 0.5
        bias = torch.zeros(operator.out_channels, dtype=dtype) if operator.bias else None
        weights[layer.name] = LayerWeights(weight.to(dtype), bias)
    return weights
