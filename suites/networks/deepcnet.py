"""DeepCNet and DeepCNiN (Graham 2014, "Spatially-sparse convolutional neural networks", section 2).

Nothing in their definition is two-dimensional: in 3D they read space-time strokes and point clouds.
"""

from bench.errors import UserError
from bench.network import Network
from bench.operators import Dropout, Linear, Rectifier, Rule, convolution, max_pooling
from bench.window import Axes
from suites.networks.stack import Stack, check_at_least_one

NO_DROPOUT: tuple[float, ...] = ()
LEAK = 1 / 3
"""Slope of DeepCNiN's leaky ReLU below 0."""
SMALLEST_GRID = 3
PADDED_GRID = 4
"""Sites that the padded network's last convolution leaves along each axis, whatever l is."""


def deep_cnet(
    levels: int,
    filters: int,
    classes: int,
    *,
    channels: int = 1,
    dimensions: int = 2,
    padded: bool = False,
    dropout: tuple[float, ...] = NO_DROPOUT,
) -> Network:
    """Make DeepCNet(l, k): l + 1 convolutions with n k filters in the n-th, and l poolings.

    The first kernel has 3 sites along each axis, the others 2; ReLU after every convolution; max
    pooling 2/2 after each of the first l. The paper's convolutions are valid: a grid of 3 * 2^l ends
    in a single site. A common reproduction pads them all by 1 and ends in 4 sites along each axis,
    which the classifier reads at once.

    Args:
        levels: l.
        filters: k.
        classes: outputs of the last layer, before any softmax.
        channels: of the input.
        dimensions: 2 or 3.
        padded: as the reproduction instead of as the paper.
        dropout: probability before each of the l + 2 layers with weights; see `rising_dropout`.

    Raises:
        UserError: if a number is below 1, or there are not l + 2 probabilities.
    """
    return _network(levels, filters, classes, channels, dimensions, dropout, padded=padded)


def deep_cnin(
    levels: int,
    filters: int,
    classes: int,
    *,
    channels: int = 1,
    dimensions: int = 2,
    dropout: tuple[float, ...] = NO_DROPOUT,
) -> Network:
    """Make DeepCNiN(l, k): DeepCNet with "networks in networks" and leaky ReLU.

    A 1x1 convolution stands after each pooling and after the last convolution; the slope below 0 is
    1/3 everywhere. Arguments and errors as `deep_cnet`.
    """
    return _network(
        levels, filters, classes, channels, dimensions, dropout, in_network=True, slope=LEAK
    )


def rising_dropout(levels: int, probability: float = 0.5) -> tuple[float, ...]:
    """Dropout that sets in half-way down: (0, 0, 0, .5, .5, .5, .5) for l = 5."""
    spared = (levels + 1) // 2
    return (0.0,) * spared + (probability,) * (levels + 2 - spared)


def grid_of(levels: int, dimensions: int = 2) -> Axes:
    """Grid size that a network with l levels takes: 3 * 2^l along each axis."""
    check_at_least_one(levels=levels)
    return (SMALLEST_GRID * 2**levels,) * dimensions


def _network(
    levels: int,
    filters: int,
    classes: int,
    channels: int,
    dimensions: int,
    dropout: tuple[float, ...],
    *,
    padded: bool = False,
    in_network: bool = False,
    slope: float = 0.0,
) -> Network:
    check_at_least_one(levels=levels, filters=filters, classes=classes, channels=channels)
    if dropout and len(dropout) != levels + 2:
        raise UserError(
            f"dropout needs a probability before each of the {levels + 2} layers with weights, "
            f"not {len(dropout)}"
        )
    probabilities = dropout or (0.0,) * (levels + 2)
    stack = Stack()
    for level in range(levels + 1):
        wide = filters * (level + 1)
        _dropout(stack, probabilities[level])
        kernel = 2 if level else 3
        stack.add(
            "conv",
            convolution(dimensions, Rule.FULL, channels, wide, kernel, padding=int(padded)),
        )
        stack.add("relu", Rectifier(slope))
        if level < levels:
            stack.add("pool", max_pooling(dimensions, 2, 2))
        if in_network:
            stack.add("nin", convolution(dimensions, Rule.FULL, wide, wide, 1))
            stack.add("nin_relu", Rectifier(slope))
        channels = wide
    _dropout(stack, probabilities[-1])
    flat = convolution(dimensions, Rule.FULL, channels, classes, PADDED_GRID)
    last = flat if padded else Linear(channels, classes)
    return stack.finish("classify", last, grid_of(levels, dimensions))


def _dropout(stack: Stack, probability: float) -> None:
    if probability > 0:
        stack.add("dropout", Dropout(probability))
