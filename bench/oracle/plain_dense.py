"""The plain dense network: what a network in ground-state mode must equal at every site."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.build import Weights
from bench.network import Layer, Network
from bench.operators import Add, Concatenate, Convolution, Dropout, Linear, MaxPooling, Rectifier
from bench.oracle.dense import CONVOLVE, POOL


def plain_dense(network: Network, weights: Weights, values: Tensor) -> Tensor:
    """Run a whole dense tensor `[B, C, *grid]` through torch's operators, in evaluation.

    No masks and no sites: biases reach everything, and dropout is the identity.
    """

    def step(layer: Layer, sources: list[Tensor]) -> Tensor:  # noqa: PLR0911  # a case each
        source, own = sources[0], weights.get(layer.name)
        match layer.operator:
            case Convolution(window=window) if own is not None:
                convolve = CONVOLVE[window.dimensions]
                geometry = (window.stride, window.padding, window.dilation)
                return convolve(source, own.weight, own.bias, *geometry)
            case MaxPooling(window=window):
                pool = POOL[window.dimensions]
                geometry = (window.stride, window.padding, window.dilation)
                return pool(source, window.kernel_size, *geometry)
            case Linear() if own is not None:
                return F.linear(source.movedim(1, -1), own.weight, own.bias).movedim(-1, 1)
            case Rectifier(negative_slope=slope):
                return F.leaky_relu(source, slope)
            case Dropout():
                return source
            case Concatenate():
                return torch.cat(sources, dim=1)
            case Add():
                return torch.stack(sources).sum(0)
        raise ValueError(f"layer {layer.name!r} has no place in a plain dense network")

    return network.evaluate(values, step)
