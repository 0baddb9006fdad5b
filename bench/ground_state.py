"""Networks whose sparse output equals the plain dense network's exactly, biases included.

The value that an inactive site holds after a layer is that layer's ground state g, a constant vector
(Graham 2014, section 3). Features are stored as deviations from it, which are 0 at inactive sites, so
that any implementation's own modules compute them:

- a convolution or linear map takes deviations to deviations without its bias, and
  g' = (sum of the kernel's taps) g + b;
- a rectifier takes d to act(g + d) - act(g);
- max pooling, concatenation and addition act on deviations as on values.

The values g + d are put together again after the last layer.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bench.background import Background
from bench.build import Answer, BuiltNetwork, LayerWeights, Mark, Weights, nobody
from bench.errors import UserError
from bench.implementation import Implementation, Native
from bench.network import Layer, Network
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    Dropout,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
    Rectifier,
    Rule,
)


def build(
    implementation: Implementation,
    network: Network,
    weights: Weights,
    dtype: torch.dtype,
    device: torch.device,
    background: Background = Background.ZERO,
) -> BuiltNetwork:
    """Build a network in one of the two background modes, in evaluation.

    In ground-state mode dropout is the identity, also in training: one that drew anew at every site
    would leave no constant ground state.

    Raises:
        UserError: if the network has no ground state.
    """
    if background is Background.ZERO:
        return BuiltNetwork(implementation, network, weights, dtype, device).eval()
    check_ground_state(network)
    network = without_dropout(network)
    unmasked = implementation.unmasked()
    if unmasked is not None:
        return BuiltNetwork(unmasked, network, weights, dtype, device).eval()
    return GroundStateNetwork(implementation, network, weights, dtype, device).eval()


def without_dropout(network: Network) -> Network:
    """Return a network whose dropout layers drop nothing."""
    layers = (
        replace(layer, operator=Dropout(0.0)) if isinstance(layer.operator, Dropout) else layer
        for layer in network.layers
    )
    return replace(network, layers=tuple(layers))


def check_ground_state(network: Network) -> None:
    """Refuse a network that has no ground state.

    Raises:
        UserError: naming the layer, and why.
    """
    reason = why_no_ground_state(network)
    if reason is not None:
        raise UserError(f"the network has no ground state: {reason}")


def why_no_ground_state(network: Network) -> str | None:
    """The first layer after which inactive sites differ from each other, and why; None if none."""
    reasons: list[str] = []

    def step(layer: Layer, sources: list[bool]) -> bool:
        """Whether inactive sites are known to hold 0 after a layer."""
        is_zero = all(sources)
        reason = _why_not(layer.operator, is_zero=is_zero)
        if reason is not None:
            reasons.append(f"layer {layer.name!r}: {reason}")
        return is_zero and not getattr(layer.operator, "bias", False)

    network.evaluate(True, step)  # noqa: FBT003  # the input's background is 0
    return reasons[0] if reasons else None


def _why_not(operator: Operator, *, is_zero: bool) -> str | None:  # noqa: PLR0911  # a case each
    match operator:
        case Convolution(rule=Rule.SPARSITY_INVARIANT):
            return "a sparsity invariant convolution divides by the number of active sites"
        case Convolution(rule=Rule.SUBMANIFOLD, window=window) if window.volume > 1:
            return "a submanifold convolution leaves out sites that the dense one fills"
        case Convolution(window=window) if max(window.padding) > 0 and not is_zero:
            return (
                "it pads with 0, and inactive sites before it hold something else, so that sites at "
                "the edge would differ; leave its padding out"
            )
        case MaxPooling(window=window) if max(window.padding) > 0 and max(window.dilation) > 1:
            return "a dilated window may lie on padding alone"
        case InverseConvolution():
            return "an inverse convolution leaves out sites that the dense one fills"
        case BatchNorm():
            return "a batch norm over active sites is another one than the dense network's"
        case _:
            return None


class _Deviations(NamedTuple):
    """Deviations from the ground state `[C]`, which is None where it is known to be 0."""

    native: Native
    ground: Tensor | None


class GroundStateNetwork(BuiltNetwork):
    """A network of one implementation's modules, run on deviations from the ground state."""

    def __init__(
        self,
        implementation: Implementation,
        network: Network,
        weights: Weights,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        bare = Network(tuple(_without_bias(layer) for layer in network.layers))
        taps = {name: LayerWeights(own.weight, None) for name, own in weights.items()}
        super().__init__(implementation, bare, taps, dtype, device)
        self.biases = nn.ParameterDict(
            {name: nn.Parameter(own.bias) for name, own in weights.items() if own.bias is not None}
        ).to(device=device, dtype=dtype)

    def answer(self, native: Native, mark: Mark = nobody) -> Answer:
        """Run every layer in order on deviations, and add the last one's ground state."""

        def step(layer: Layer, sources: list[_Deviations]) -> _Deviations:
            deviations = self._compute(layer, sources)
            result = _Deviations(deviations, self._ground_after(layer, sources))
            mark(layer.name)
            return result

        deviations, ground = self.network.evaluate(_Deviations(native, None), step)
        if ground is None:
            return Answer(deviations, None)
        features = self.implementation.features(deviations)
        values = self.implementation.with_features(deviations, features + _spread(ground, features))
        mark(self.network.layers[-1].name)
        return Answer(values, ground)

    def leaves(self) -> list[tuple[str, Operator, Tensor]]:
        """Parameters that gradients are taken at: names `layer.weight`, `layer.bias`."""
        operators = {layer.name: layer.operator for layer in self.network.layers}
        biases = [(f"{name}.bias", operators[name], bias) for name, bias in self.biases.items()]
        return [*super().leaves(), *biases]

    def _compute(self, layer: Layer, sources: list[_Deviations]) -> Native:
        natives = [source.native for source in sources]
        ground = sources[0].ground
        if not isinstance(layer.operator, Rectifier) or ground is None:
            return self.compute(layer, natives)
        slope = layer.operator.negative_slope
        features = self.implementation.features(natives[0])
        whole = _rectify(features + _spread(ground, features), slope)
        rest = _spread(_rectify(ground, slope), features)
        return self.implementation.with_features(natives[0], whole - rest)

    def _ground_after(self, layer: Layer, sources: list[_Deviations]) -> Tensor | None:
        grounds = [source.ground for source in sources]
        match layer.operator:
            case Convolution() | Linear():
                return self._affine(layer, grounds[0])
            case Rectifier(negative_slope=slope):
                return None if grounds[0] is None else _rectify(grounds[0], slope)
            case Concatenate():
                return self._concatenated(sources)
            case Add():
                known = [ground for ground in grounds if ground is not None]
                return torch.stack(known).sum(0) if known else None
            case _:
                return grounds[0]

    def _affine(self, layer: Layer, ground: Tensor | None) -> Tensor | None:
        bias: Tensor | None = self.biases.get(layer.name)
        if ground is None:
            return bias
        parameter: Tensor = self.layers[layer.name].weight  # type: ignore[assignment]
        weight = self.implementation.torch_layout(layer.operator, parameter)
        taps = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
        return F.linear(ground, taps, bias)

    def _concatenated(self, sources: list[_Deviations]) -> Tensor | None:
        known = next((source.ground for source in sources if source.ground is not None), None)
        if known is None:
            return None
        return torch.cat(
            [
                known.new_zeros(self.implementation.features(source.native).shape[1])
                if source.ground is None
                else source.ground
                for source in sources
            ]
        )


def _without_bias(layer: Layer) -> Layer:
    if isinstance(layer.operator, Convolution | Linear):
        return replace(layer, operator=replace(layer.operator, bias=False))
    return layer


def _spread(ground: Tensor, features: Tensor) -> Tensor:
    return ground.view(1, -1, *(1,) * (features.ndim - 2))


def _rectify(values: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(values, slope) if slope else F.relu(values)
