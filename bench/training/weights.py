"""Weights that training starts from."""

import torch

from bench.build import LayerWeights, Weights
from bench.network import Network
from bench.operators import (
    BatchNorm,
    Convolution,
    InverseConvolution,
    Operator,
    Rule,
    Weighted,
)

RECTIFIED_GAIN = 2.0
"""Variance that a rectifier halves (He et al. 2015, equation 10)."""


def enlargement(operator: Operator) -> int:
    """How many times larger the weights of a sparsity invariant convolution are than an ordinary's.

    Its sum is divided by the number of active sites under the kernel, at most the kernel's volume.
    Where all sites are active, weights as many times larger make it the ordinary convolution again:
    it starts as its ordinary twin does, and learns like it if its weights move in steps as many
    times longer. Without this the activations shrink from layer to layer to a volume's share, and
    what is compared is how long that takes to be unlearnt.
    """
    match operator:
        case Convolution(rule=Rule.SPARSITY_INVARIANT):
            return operator.window.volume
        case _:
            return 1


def starting_weights(
    network: Network, seed: int, dtype: torch.dtype, gain: float = RECTIFIED_GAIN
) -> Weights:
    """Draw weights from N(0, gain/fan-in), on the CPU; biases are 0 and batch norms the identity.

    Drawn in float64, so that every type rounds the same numbers. Where sums are normalised, weights
    are enlarged.
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
        weight = drawn * (gain / fan_in) ** 0.5 * enlargement(operator)
        bias = torch.zeros(operator.out_channels, dtype=dtype) if operator.bias else None
        weights[layer.name] = LayerWeights(weight.to(dtype), bias)
    return weights
