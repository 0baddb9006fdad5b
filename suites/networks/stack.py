"""Layers put together one after another, with names that say what they are."""

from collections import Counter

from bench.errors import UserError
from bench.network import Layer, Network
from bench.operators import Operator
from bench.window import Axes


class Stack:
    """A network in the making: every layer reads the last one unless it is told otherwise.

    Layers are called by their kind and counted: `conv1`, `relu1`, `conv2`, ...
    """

    def __init__(self) -> None:
        self._layers: list[Layer] = []
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, operator: Operator, *reads: str) -> str:
        """Append a layer and return its name."""
        self._counts[kind] += 1
        name = f"{kind}{self._counts[kind]}"
        self._layers.append(Layer(name, operator, reads))
        return name

    def finish(self, name: str, operator: Operator, grid_size: Axes | None = None) -> Network:
        """Append the last layer, by a name of its own, and make the network.

        Args:
            name: of the layer.
            operator: of the layer.
            grid_size: the only one that the network takes; None for any.
        """
        return Network((*self._layers, Layer(name, operator)), grid_size)


def check_at_least_one(**numbers: int) -> None:
    """Refuse numbers of classes, filters or levels below 1.

    Raises:
        UserError: naming the first of them.
    """
    for what, number in numbers.items():
        if number < 1:
            raise UserError(f"a network needs at least 1 for {what}, not {number}")
