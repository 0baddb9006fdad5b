"""The geometry of a sliding window: what a convolution and a max pooling have in common."""

import itertools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass

from bench.errors import UserError

Axes = tuple[int, ...]
"""One number for each spatial axis, in the order of the dense tensor's axes."""


def per_axis(value: int | Axes, dimensions: int, what: str) -> Axes:
    """Spread a number over the axes, or check that there is one number for each.

    Raises:
        UserError: if a tuple has not `dimensions` entries, or holds anything but whole numbers.
    """
    try:
        if hasattr(value, "__index__"):
            axes = (operator.index(value),) * dimensions
        else:
            axes = tuple(map(operator.index, value))
    except TypeError:
        raise UserError(
            f"{what} {value!r} is no whole number, nor {dimensions} of them, one for each axis"
        ) from None
    if len(axes) != dimensions:
        raise UserError(f"{what} {axes} has {len(axes)} entries; {dimensions} axes were expected")
    return axes


@dataclass(frozen=True)
class Window:
    """Kernel size, stride, padding and dilation along each spatial axis, as in torch."""

    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes

    def __post_init__(self) -> None:
        for what, axes, least in (
            ("kernel size", self.kernel_size, 1),
            ("stride", self.stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self.dilation, 1),
        ):
            per_axis(axes, self.dimensions, what)
            if min(axes) < least:
                raise UserError(f"{what} {axes} must be at least {least} along every axis")

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.kernel_size)

    @property
    def volume(self) -> int:
        """Number of kernel offsets (taps)."""
        return math.prod(self.kernel_size)

    @property
    def keeps_sites(self) -> bool:
        """Whether every output site sees its own input site and nothing else."""
        return self.volume == 1 and set(self.stride) == {1} and set(self.padding) == {0}

    def offsets(self) -> Iterator[Axes]:
        """Every kernel offset, last axis fastest: the order of a flattened torch kernel."""
        return itertools.product(*(range(size) for size in self.kernel_size))

    def output_grid(self, grid_size: Axes) -> Axes:
        """Output grid size by torch's formula.

        Raises:
            UserError: if the grid has other axes, or is smaller than the kernel.
        """
        per_axis(grid_size, self.dimensions, "grid size")
        output = []
        for axis, size in enumerate(grid_size):
            reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            room = size + 2 * self.padding[axis] - reach
            if room < 0:
                raise UserError(
                    f"grid size {grid_size} is too small on axis {axis}: {size} sites and padding "
                    f"{self.padding[axis]} on each side cannot hold a kernel that reaches {reach}"
                )
            output.append(room // self.stride[axis] + 1)
        return tuple(output)

    def output_padding(self, grid_size: Axes) -> Axes:
        """What `conv_transpose` must add so that its output has this grid size again."""
        coarse = self.output_grid(grid_size)
        return tuple(
            fine - ((size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
            for fine, size, kernel, stride, padding, dilation in zip(
                grid_size,
                coarse,
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )


def window(
    dimensions: int,
    kernel_size: int | Axes,
    stride: int | Axes = 1,
    padding: int | Axes = 0,
    dilation: int | Axes = 1,
) -> Window:
    """Make a window, spreading single numbers over the axes."""
    return Window(
        per_axis(kernel_size, dimensions, "kernel size"),
        per_axis(stride, dimensions, "stride"),
        per_axis(padding, dimensions, "padding"),
        per_axis(dilation, dimensions, "dilation"),
    )
