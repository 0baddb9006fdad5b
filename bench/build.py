"""Builds a network for an implementation, with given weights in torch's layout."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.dtypes import rounded, torch_dtype
from bench.implementation import Implementation, Native, why_unsupported
from bench.network import Layer, Network
from bench.operators import (
    BatchNorm,
    Convolution,
    Dropout,
    InverseConvolution,
    Joining,
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

    def copied(self) -> "LayerWeights":
        """Return the same values in tensors of their own."""
        return LayerWeights(self.weight.clone(), None if self.bias is None else self.bias.clone())


Weights = dict[str, LayerWeights]
"""Weights by layer name."""
Mark = Callable[[str], None]
"""Told the name of a layer when it is done."""


def initial_weights(
    network: Network, seed: int, dtype: torch.dtype, device: torch.device
) -> Weights:
    """Draw weights from N(0, 1/fan-in) and biases from N(0, 1/4), of both signs.

    A batch norm's weights are uniform between 1/2 and 3/2. Drawn in float64 on the CPU, so that every
    dtype and device rounds the same numbers.
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
        if isinstance(operator, BatchNorm):
            scales = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
            weight, channels = scales.to(device=device, dtype=dtype), operator.channels
        else:
            fan_in = operator.in_channels * math.prod(shape[2:])
            weight, channels = draw(shape, fan_in**-0.5), operator.out_channels
        bias = draw((channels,), 0.5) if operator.bias else None
        weights[layer.name] = LayerWeights(weight, bias)
    return weights


def operands(
    network: Network, seed: int, batch: SparseBatch, dtype: str, device: torch.device
) -> tuple[SparseBatch, Weights]:
    """Round a batch's features and draw initial weights, in an element type by its name.

    In tf32 both are float32 with 10 fraction bits.
    """
    features = rounded(batch.features, dtype)
    weights = initial_weights(network, seed, torch_dtype(dtype), device)
    known = {
        name: LayerWeights(
            rounded(own.weight, dtype), None if own.bias is None else rounded(own.bias, dtype)
        )
        for name, own in weights.items()
    }
    return batch.with_features(features).to(device), known


class Answer(NamedTuple):
    """A network's output.

    Attributes:
        native: holds the values at active sites; a native that keeps a whole grid holds all sites.
        background: what every other site holds, `[C]`; None where it is 0.
    """

    native: Native
    background: Tensor | None


def nobody(_: str) -> None:
    """Observe no layer."""


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
            module = _module(implementation, layer, weights)
            if module is None and isinstance(layer.operator, Joining):
                continue
            if not isinstance(module, nn.Module):
                raise TypeError(
                    f"{implementation.name} makes {type(module).__name__} for layer "
                    f"{layer.name!r}; it makes a torch.nn.Module"
                )
            self.layers[layer.name] = module
        self.to(device=device, dtype=dtype)

    def forward(self, native: Native) -> Native:
        """Return the native tensor of the output."""
        return self.answer(native).native

    def answer(self, native: Native, mark: Mark = nobody) -> Answer:
        """Run every layer in order.

        Args:
            native: the input.
            mark: told the name of every layer when it is done.
        """

        def step(layer: Layer, sources: list[Native]) -> Native:
            result = self.compute(layer, sources)
            mark(layer.name)
            return result

        return Answer(self.network.evaluate(native, step), None)

    def compute(self, layer: Layer, sources: list[Native]) -> Native:
        """Run one layer."""
        if layer.name in self.layers:
            return self.layers[layer.name](*sources)
        return self.implementation.join(layer.operator, sources)  # type: ignore[arg-type]

    def training_with(self, *, dropout: bool) -> Self:
        """Switch to training, with dropout or without it; return the network."""
        self.train()
        for layer in self.network.layers:
            if isinstance(layer.operator, Dropout):
                self.layers[layer.name].train(dropout)
        return self

    def leaves(self) -> list[tuple[str, Operator, Tensor]]:
        """Parameters that gradients are taken at: names `layer.weight`, `layer.bias`.

        Raises:
            TypeError: if a layer's module lacks one, or holds a tensor that learns nothing.
        """
        found: list[tuple[str, Operator, Tensor]] = []
        for layer in self.network.layers:
            if not isinstance(layer.operator, Weighted):
                continue
            for part in ("weight", "bias") if layer.operator.bias else ("weight",):
                parameter = self._parameter(layer.name, part)
                found.append((f"{layer.name}.{part}", layer.operator, parameter))
        return found

    def _parameter(self, layer: str, part: str) -> nn.Parameter:
        module = self.layers[layer]
        parameter = getattr(module, part, None)
        if isinstance(parameter, nn.Parameter) and parameter.requires_grad:
            return parameter
        raise TypeError(
            f"{self.implementation.name} makes {type(module).__name__} for layer {layer!r}, whose "
            f"{part!r} is no torch.nn.Parameter with a gradient"
        )

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


def _module(implementation: Implementation, layer: Layer, weights: Weights) -> nn.Module | None:
    """Make a layer's module; None for layers that join others."""
    match layer.operator:
        case Convolution() as operator:
            own = weights[layer.name]
            return implementation.convolution(operator, own.weight, own.bias)
        case InverseConvolution() as operator:
            own = weights[layer.name]
            return implementation.inverse_convolution(operator, own.weight, own.bias)
        case MaxPooling() as operator:
            return implementation.max_pooling(operator)
        case Linear() | BatchNorm() as operator:
            own = weights[layer.name]
            return implementation.pointwise(operator, own.weight, own.bias)
        case Rectifier() | Dropout() as operator:
            return implementation.pointwise(operator, None, None)
        case _:
            return None
