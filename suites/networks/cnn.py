"""The small dense CNN: what somebody tries first on small images."""

from bench.errors import UserError
from bench.network import Network
from bench.operators import Dropout, Linear, Rectifier, Rule, convolution, max_pooling
from suites.networks.stack import Stack, check_at_least_one

FILTERS = (10, 20)
HIDDEN = 50
SMALLEST_GRID = 16


def small_cnn(grid: int, classes: int, *, channels: int = 1) -> Network:
    """Make two valid convolutions 5x5, each with ReLU and max pooling 2/2, and two linear layers.

    PyTorch's own first example for MNIST: 21,840 parameters for a grid of 28 and 10 classes. The
    first linear layer reads the whole grid, as a convolution whose kernel is as large.

    Args:
        grid: sites along each axis of the input.
        classes: outputs of the last layer, before any softmax.
        channels: of the input.

    Raises:
        UserError: if the grid is too small, or a number is below 1.
    """
    check_at_least_one(classes=classes, channels=channels)
    if grid < SMALLEST_GRID:
        raise UserError(f"the small CNN takes grids from {SMALLEST_GRID} on, not {grid}")
    stack = Stack()
    remaining = grid
    for filters in FILTERS:
        stack.add("conv", convolution(2, Rule.FULL, channels, filters, 5))
        stack.add("relu", Rectifier())
        stack.add("pool", max_pooling(2, 2, 2))
        channels = filters
        remaining = (remaining - 4) // 2
    stack.add("flat", convolution(2, Rule.FULL, channels, HIDDEN, remaining))
    stack.add("relu", Rectifier())
    stack.add("dropout", Dropout(0.5))
    return stack.finish("classify", Linear(HIDDEN, classes), (grid, grid))
