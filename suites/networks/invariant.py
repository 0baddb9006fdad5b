"""The sparsity invariant CNN (Uhrig et al. 2017) and the classifiers that were made of it since.

Each has an ordinary twin, `rule` full: the same weights and paddings, inactive sites plainly 0.
"""

from bench.errors import UserError
from bench.network import Network
from bench.operators import (
    BatchNorm,
    Dropout,
    Linear,
    Rectifier,
    Rule,
    convolution,
    max_pooling,
)
from suites.networks.stack import Stack, check_at_least_one

FILTERS = 16
KERNELS = (11, 7, 5, 3, 3)
MNIST_CLASSES = 10
MNIST_HIDDEN = (120, 84)
CALTECH_CLASSES = 101
CALTECH_LAYERS = ((6, 7), (16, 5), (16, 3), (16, 3))
"""Filters and kernel of each convolution."""
CALTECH_HIDDEN = (240, 120)


def invariant_cnn(
    *, filters: int = FILTERS, channels: int = 1, rule: Rule = Rule.SPARSITY_INVARIANT
) -> Network:
    """Make the paper's network: kernels 11, 7, 5, 3, 3 with 16 filters and ReLU, then 1x1 to 1.

    Convolutions keep the grid; the mask of each layer follows by max pooling with the same window.
    One value a site comes out: the paper's densified depth (section 4, figure 4).
    """
    check_at_least_one(filters=filters, channels=channels)
    stack = Stack()
    for kernel in KERNELS:
        _convolution(stack, rule, channels, filters, kernel)
        channels = filters
    return stack.finish("depth", convolution(2, rule, channels, 1, 1))


def invariant_mnist(
    grid: int = 28, classes: int = MNIST_CLASSES, *, rule: Rule = Rule.SPARSITY_INVARIANT
) -> Network:
    """Make the classifier of MNIST: two convolutions 5x5 with pooling, three linear layers.

    The reproduction says that it cut convolutions and added linear layers, and not how many: the
    numbers here are LeNet's.

    Raises:
        UserError: if the grid is too small, or there are no classes.
    """
    check_at_least_one(classes=classes)
    stack = Stack()
    channels = 1
    for filters in (6, 16):
        _convolution(stack, rule, channels, filters, 5)
        stack.add("pool", max_pooling(2, 2, 2))
        channels = filters
    return _linear_layers(stack, channels, grid, 2, MNIST_HIDDEN, classes)


def invariant_caltech101(
    grid: int = 224,
    classes: int = CALTECH_CLASSES,
    *,
    layers: tuple[tuple[int, int], ...] = CALTECH_LAYERS,
    hidden: tuple[int, ...] = CALTECH_HIDDEN,
    dropout: float = 0.5,
    rule: Rule = Rule.SPARSITY_INVARIANT,
) -> Network:
    """Make the classifier of Caltech-101: convolutions, each with pooling and batch norm; dropout.

    Reads three channels. The reproduction names the kinds of layers and neither their number nor their
    widths, which are chosen here so that a photograph of 224x224 ends in 14x14 sites.

    Args:
        grid: pixels along each side.
        classes: outputs of the last layer.
        layers: filters and kernel of each convolution.
        hidden: widths of the linear layers before the last.
        dropout: probability after each of them.
        rule: sparsity invariant, or full for the ordinary twin.

    Raises:
        UserError: if the grid is too small, or there are no classes.
    """
    check_at_least_one(classes=classes)
    stack = Stack()
    channels = 3
    for filters, kernel in layers:
        _convolution(stack, rule, channels, filters, kernel)
        stack.add("pool", max_pooling(2, 2, 2))
        stack.add("norm", BatchNorm(filters))
        channels = filters
    return _linear_layers(stack, channels, grid, len(layers), hidden, classes, dropout)


def _convolution(stack: Stack, rule: Rule, channels: int, filters: int, kernel: int) -> None:
    stack.add("conv", convolution(2, rule, channels, filters, kernel, padding=kernel // 2))
    stack.add("relu", Rectifier())


def _linear_layers(
    stack: Stack,
    channels: int,
    grid: int,
    poolings: int,
    hidden: tuple[int, ...],
    classes: int,
    dropout: float = 0.0,
) -> Network:
    """Linear layers on the flattened grid; the first is a convolution with a kernel as large."""
    remaining = grid >> poolings
    if not remaining:
        raise UserError(f"{poolings} poolings 2/2 take grids from {1 << poolings} on, not {grid}")
    width = channels
    for number, next_width in enumerate(hidden):
        if number:
            stack.add("linear", Linear(width, next_width))
        else:
            stack.add("flat", convolution(2, Rule.FULL, width, next_width, remaining))
        stack.add("relu", Rectifier())
        if dropout:
            stack.add("dropout", Dropout(dropout))
        width = next_width
    return stack.finish("classify", Linear(width, classes), (grid, grid))
