"""Networks of submanifold convolutions in VGG's manner (Graham, van der Maaten 2017).

Their grids have 3 * 2^(l+1) - 1 sites along each axis, so that l poolings 3/2 leave 5.
"""

from bench.network import Network
from bench.operators import (
    BatchNorm,
    Concatenate,
    InverseConvolution,
    Linear,
    Rectifier,
    Rule,
    convolution,
    max_pooling,
)
from bench.window import Axes
from suites.networks.stack import Stack, check_at_least_one

ASSAMESE_CLASSES = 183
ASSAMESE_LEVELS = 4
LAST_GRID = 5
"""Sites along each axis before the last convolution, which reads them all at once."""
LAST_FILTERS = 64
FILTERS_A_LEVEL = 8


def assamese_vgg(classes: int = ASSAMESE_CLASSES, channels: int = 3) -> Network:
    """Make the VGG of SparseConvNet's Assamese example, for a grid of 95x95; 97,295 parameters.

    "C8, C8, MP, C16, C16, MP, C(16,8) x2, MP, C(24,8) x2, MP", a full convolution 5x5 with 64
    filters, batch norm, ReLU, linear. C n is a submanifold convolution 3x3 with batch norm and ReLU,
    MP max pooling 3/2, C(a, b) see `_around`.

    Args:
        classes: outputs of the last layer, before any softmax.
        channels: of the input; the example's are the pen's unit direction (dx, dy) and 1.
    """
    check_at_least_one(classes=classes, channels=channels)
    stack = Stack()
    for wide in (8, 16):
        for _ in range(2):
            _convolution(stack, Rule.SUBMANIFOLD, channels, wide)
            channels = wide
        last = stack.add("pool", max_pooling(2, 3, 2))
    for wide in (16, 24):
        for _ in range(2):
            last = _around(stack, last, channels, wide, 8)
            channels = wide + 8
        last = stack.add("pool", max_pooling(2, 3, 2))
    return _head(stack, channels, classes, ASSAMESE_LEVELS)


def plain_vgg(
    levels: int, classes: int, *, channels: int = 1, rule: Rule = Rule.SUBMANIFOLD
) -> Network:
    """Make a VGG without branches: at each level n two convolutions 3x3 with 8 n filters, and MP.

    Its dense twin, `rule` full, has the same weights, but its convolutions are torch's ordinary ones
    padded by 1: active sites spread by a site a layer, as they do where nobody thinks of sparsity.

    Args:
        levels: number of poolings.
        classes: outputs of the last layer, before any softmax.
        channels: of the input.
        rule: submanifold, or full for the dense twin.
    """
    check_at_least_one(levels=levels, classes=classes, channels=channels)
    stack = Stack()
    for level in range(1, levels + 1):
        for _ in range(2):
            _convolution(stack, rule, channels, FILTERS_A_LEVEL * level)
            channels = FILTERS_A_LEVEL * level
        stack.add("pool", max_pooling(2, 3, 2))
    return _head(stack, channels, classes, levels)


def grid_of(levels: int) -> Axes:
    """Grid size that a VGG with this number of poolings takes: 95x95 for 4."""
    check_at_least_one(levels=levels)
    return (3 * 2 ** (levels + 1) - 1,) * 2


def _convolution(stack: Stack, rule: Rule, channels: int, filters: int) -> str:
    stack.add("conv", convolution(2, rule, channels, filters, 3, padding=1, bias=False))
    return _normalise(stack, filters)


def _normalise(stack: Stack, channels: int) -> str:
    stack.add("norm", BatchNorm(channels))
    return stack.add("relu", Rectifier())


def _around(stack: Stack, source: str, channels: int, straight: int, around: int) -> str:
    """C(a, b): a submanifold convolution beside a way down to a coarser grid and back."""
    down = convolution(2, Rule.FULL, channels, around, 3, 2, bias=False)
    fine = stack.add(
        "conv", convolution(2, Rule.SUBMANIFOLD, channels, straight, 3, bias=False), source
    )
    stack.add("down", down, source)
    _normalise(stack, around)
    stack.add("conv", convolution(2, Rule.SUBMANIFOLD, around, around, 3, bias=False))
    coarse = _normalise(stack, around)
    back = stack.add(
        "up", InverseConvolution(around, around, down.window, bias=False), coarse, source
    )
    stack.add("join", Concatenate(), fine, back)
    return _normalise(stack, straight + around)


def _head(stack: Stack, channels: int, classes: int, levels: int) -> Network:
    stack.add("conv", convolution(2, Rule.FULL, channels, LAST_FILTERS, LAST_GRID, bias=False))
    _normalise(stack, LAST_FILTERS)
    return stack.finish("classify", Linear(LAST_FILTERS, classes), grid_of(levels))
