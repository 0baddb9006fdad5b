"""A network as plain data: layers in order, each reading earlier ones by name.

A single operator is a network of one layer, so everything that measures or checks knows networks only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from bench.errors import UserError
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
)
from bench.window import Axes

Value = TypeVar("Value")
INPUT = "input"
"""The name by which a layer refers to the network's input."""


@dataclass(frozen=True)
class Layer:
    """One operator and the names of the layers that it reads.

    Without `reads` it reads the layer before it. An inverse convolution reads two: what it transforms,
    and the earlier layer onto whose sites it goes back.
    """

    name: str
    operator: Operator
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """Layers in the order of their computation; the last one is the output.

    Attributes:
        grid_size: the only one that the network takes; None where any that fits its kernels will do.

    Raises:
        UserError: if names repeat, or a layer reads one that does not come before it.
    """

    layers: tuple[Layer, ...]
    grid_size: Axes | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise UserError("a network needs at least one layer")
        known = {INPUT}
        for layer in self.layers:
            if layer.name in known:
                raise UserError(f"two layers of the network are called {layer.name!r}")
            _check_name(layer.name)
            for name in layer.reads:
                if name not in known:
                    raise UserError(
                        f"layer {layer.name!r} reads {name!r}, which does not come before it"
                    )
            _check_reads(layer)
            known.add(layer.name)

    def reads(self, position: int) -> tuple[str, ...]:
        """Names of the layers that a layer reads, the default filled in."""
        layer = self.layers[position]
        if layer.reads:
            return layer.reads
        return (self.layers[position - 1].name if position else INPUT,)

    def evaluate(self, start: Value, step: Callable[[Layer, list[Value]], Value]) -> Value:
        """Compute every layer in order and return the last one's value.

        A value is let go of once the last layer that reads it is done.

        Args:
            start: what is read as the input.
            step: computes one layer from the values that it reads.
        """
        known = {INPUT: start}
        value = start
        for position, layer in enumerate(self.layers):
            reads = self.reads(position)
            value = step(layer, [known[name] for name in reads])
            for name in set(reads):
                if self._last_reader[name] == position:
                    del known[name]
            if layer.name in self._last_reader:
                known[layer.name] = value
        return value

    @cached_property
    def _last_reader(self) -> dict[str, int]:
        """Position of the last layer that reads a name."""
        return {
            name: position for position in range(len(self.layers)) for name in self.reads(position)
        }

    @property
    def single_operator(self) -> Operator | None:
        """The operator of a network of one layer, else None."""
        return self.layers[0].operator if len(self.layers) == 1 else None

    @property
    def has_norms(self) -> bool:
        """Whether batch norms make a pass in training differ from one in evaluation."""
        return any(isinstance(layer.operator, BatchNorm) for layer in self.layers)

    @property
    def input_channels(self) -> int | None:
        """Channels that the first weighted layer expects; None where any number will do."""
        for layer in self.layers:
            if isinstance(layer.operator, Convolution | InverseConvolution | Linear):
                return layer.operator.in_channels
        return None

    def shapes(self, channels: int, grid_size: Axes) -> Mapping[str, tuple[int, Axes]]:
        """Channels and grid size after every layer, by name, the input's included.

        Raises:
            UserError: if a layer gets another number of channels than it expects, or a grid that its
                kernel does not fit; the message names the layer. Or if the network takes another
                grid size.
        """
        if self.grid_size not in {None, grid_size}:
            raise UserError(f"the network takes grid size {self.grid_size}, not {grid_size}")
        known: dict[str, tuple[int, Axes]] = {INPUT: (channels, grid_size)}
        for position, layer in enumerate(self.layers):
            sources = [known[name] for name in self.reads(position)]
            try:
                known[layer.name] = _shape_after(layer.operator, sources)
            except UserError as error:
                raise UserError(f"layer {layer.name!r}: {error}") from None
        return known


def _check_name(name: str) -> None:
    """Refuse what torch does not take for a module's name."""
    from torch import nn  # noqa: PLC0415  # a network is plain data until then

    containers = nn.ModuleDict(), nn.ParameterDict()
    if not name or "." in name or any(hasattr(each, name) for each in containers):
        raise UserError(
            f"no layer can be called {name!r}: torch has no name for a module that is empty, holds a "
            f"dot or means something else to it"
        )


def _check_reads(layer: Layer) -> None:
    if isinstance(layer.operator, InverseConvolution):
        if len(layer.reads) != 2:
            raise UserError(
                f"layer {layer.name!r} must read two layers: its source, and the one onto "
                f"whose sites it goes back"
            )
    elif isinstance(layer.operator, Add | Concatenate):
        if len(layer.reads) < 2:
            raise UserError(f"layer {layer.name!r} joins layers: it must read at least two")
    elif len(layer.reads) > 1:
        raise UserError(f"layer {layer.name!r} reads {', '.join(layer.reads)}: it takes one")


def _shape_after(operator: Operator, sources: list[tuple[int, Axes]]) -> tuple[int, Axes]:
    channels, grid_size = sources[0]
    if isinstance(operator, Convolution | InverseConvolution | Linear):
        if channels != operator.in_channels:
            raise UserError(
                f"its input has {channels} channels, and it expects {operator.in_channels}"
            )
        channels = operator.out_channels
    if isinstance(operator, BatchNorm) and channels != operator.channels:
        raise UserError(f"its input has {channels} channels, and it expects {operator.channels}")
    match operator:
        case Convolution() | MaxPooling():
            return channels, operator.window.output_grid(grid_size)
        case InverseConvolution():
            target = sources[1][1]
            if operator.window.output_grid(target) != grid_size:
                raise UserError(
                    f"its window takes grid size {target} to {operator.window.output_grid(target)}, "
                    f"not to the {grid_size} that it is to come back from"
                )
            return channels, target
        case Concatenate() if any(size != grid_size for _, size in sources):
            raise UserError(f"it joins tensors on different grids: {sources}")
        case Concatenate():
            return sum(count for count, _ in sources), grid_size
        case Add() if any(source != sources[0] for source in sources):
            raise UserError(f"it adds tensors of different shapes: {sources}")
        case _:
            return channels, grid_size


def single(operator: Operator) -> Network:
    """Make the network of one operator."""
    return Network((Layer("layer", operator),))
