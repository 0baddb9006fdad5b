"""Builds a network for an implementation, with given weights in torch's layout."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.implementation import Implementation, Native, why_unsupported
from bench.network import INPUT, Network
from bench.operators import (
    BatchNorm,
    Convolution,
    Dropout,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
    Rectifier,
    Weighted,
)


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer's weight, in torch's layout, and bias `[C_out]`."""

    weight: Tensor
    bias: Tensor | None


Weights = dict[str, LayerWeights]
"""Weights by layer name."""


def initial_weights(
    network: Network, seed: int, dtype: torch.dtype, device: torch.device
) -> Weights:
    """Draw weights from N(0, 1/fan-in) and biases from N(0, 1/4), of both signs.

    Drawn in float64 on the CPU, so that every dtype and device rounds the same numbers.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...], scale: float) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        return values.to(device=device, dtype=dtype)

    weights = {}
    for layer in network.layers:
        operator = layer.operator
        if not isinstance(operator, Weighted):
            continue
        shape = operator.weight_shape
        fan_in = operator.in_channels * int(torch.tensor(shape[2:]).prod())
        bias = draw((operator.out_channels,), 0.5) if operator.bias else None
        weights[layer.name] = LayerWeights(draw(shape, fan_in**-0.5), bias)
    return weights


class BuiltNetwork(nn.Module):
    """A network of one implementation's modules, from native to native tensor."""

    def __init__(
        self,
        implementation: Implementation,
        network: Network,
        weights: Weights,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.implementation = implementation
        self.network = network
        self.layers = nn.ModuleDict()
        for layer in network.layers:
            module = _module(implementation, layer.operator, weights.get(layer.name))
            if module is not None:
                self.layers[layer.name] = module
        self.to(device=device, dtype=dtype)

    def forward(self, native: Native) -> Native:
        """Run every layer in order; tensors that are read later are kept."""
        known = {INPUT: native}
        for position, layer in enumerate(self.network.layers):
            sources = [known[name] for name in self.network.reads(position)]
            if layer.name in self.layers:
                known[layer.name] = self.layers[layer.name](*sources)
            else:
                known[layer.name] = self.implementation.join(layer.operator, sources)  # type: ignore[arg-type]
        return known[self.network.layers[-1].name]

    def leaves(self) -> list[tuple[str, Operator, Tensor]]:
        """Parameters that gradients are taken at: names `layer.weight`, `layer.bias`."""
        found: list[tuple[str, Operator, Tensor]] = []
        for layer in self.network.layers:
            if not isinstance(layer.operator, Weighted):
                continue
            module = self.layers[layer.name]
            found.append((f"{layer.name}.weight", layer.operator, module.weight))  # type: ignore[arg-type]
            if layer.operator.bias:
                found.append((f"{layer.name}.bias", layer.operator, module.bias))  # type: ignore[arg-type]
        return found

    def torch_layout(self, name: str, operator: Operator, tensor: Tensor) -> Tensor:
        """Bring a leaf of `leaves`, or its gradient, back into torch's layout."""
        if name.endswith(".weight"):
            return self.implementation.torch_layout(operator, tensor)
        return tensor


def why_unbuildable(
    implementation: Implementation, network: Network, dtype: torch.dtype, device: torch.device
) -> str | None:
    """The first layer that an implementation cannot compute, and why; None if it can build all."""
    for layer in network.layers:
        reason = why_unsupported(implementation, layer.operator, dtype, device)
        if reason is not None:
            return reason if network.single_operator else f"layer {layer.name!r}: {reason}"
    return None


def _module(
    implementation: Implementation, operator: Operator, weights: LayerWeights | None
) -> nn.Module | None:
    weight = None if weights is None else weights.weight
    bias = None if weights is None else weights.bias
    match operator:
        case Convolution() if weight is not None:
            return implementation.convolution(operator, weight, bias)
        case InverseConvolution() if weight is not None:
            return implementation.inverse_convolution(operator, weight, bias)
        case MaxPooling():
            return implementation.max_pooling(operator)
        case Rectifier() | Dropout() | BatchNorm() | Linear():
            return implementation.pointwise(operator, weight, bias)
        case _:
            return None
