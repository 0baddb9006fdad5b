"""What can be computed: operators as plain data, without tensors and without an implementation.

One rule gives every operator its meaning: it equals torch's dense operator, in float64, applied to
the densified input, read at the operator's active output sites; every other site is exactly zero.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from bench.errors import UserError
from bench.window import Axes, Window, window


class Rule(StrEnum):
    """Where a convolution's output is active, and what it is divided by."""

    FULL = "full"
    SUBMANIFOLD = "submanifold"
    SPARSITY_INVARIANT = "sparsity_invariant"


SPARSITY_INVARIANT_EPSILON = 1e-8
"""Added to the number of active sites under the kernel (Uhrig et al. 2017, equation 4)."""


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation with a weight `[C_out, C_in, *kernel]`; the bias reaches active sites only.

    `full`: active where the window touches any active site. `submanifold`: active exactly where the
    input is. `sparsity_invariant`: active as `full`; the sum over active sites is divided by their
    number under the kernel (sites, not channels x sites) plus 1e-8, before the bias.
    """

    rule: Rule
    in_channels: int
    out_channels: int
    window: Window
    bias: bool = True

    def __post_init__(self) -> None:
        _check_channels(self.in_channels, self.out_channels)
        if self.rule is Rule.SUBMANIFOLD:
            _check_submanifold(self.window)

    @property
    def weight_shape(self) -> Axes:
        """Shape of the weight in torch's layout."""
        return (self.out_channels, self.in_channels, *self.window.kernel_size)


@dataclass(frozen=True)
class InverseConvolution:
    """Transposed convolution back onto an earlier set of sites, with the window that left them.

    Weight `[C_in, C_out, *kernel]`, the layout of torch's `conv_transpose`. Active exactly where the
    earlier tensor is (SparseConvNet's "deconvolution", spconv's `SparseInverseConv`).
    """

    in_channels: int
    out_channels: int
    window: Window
    bias: bool = True

    def __post_init__(self) -> None:
        _check_channels(self.in_channels, self.out_channels)

    @property
    def weight_shape(self) -> Axes:
        """Shape of the weight in torch's layout."""
        return (self.in_channels, self.out_channels, *self.window.kernel_size)


@dataclass(frozen=True)
class MaxPooling:
    """Dense max pooling of the densified input: an inactive site counts as 0, padding as -inf.

    Active where the window touches any active site.
    """

    window: Window

    def __post_init__(self) -> None:
        for padding, size in zip(self.window.padding, self.window.kernel_size, strict=True):
            if 2 * padding > size:
                raise UserError(
                    f"max pooling's padding {self.window.padding} exceeds half of its kernel size "
                    f"{self.window.kernel_size}, which torch refuses"
                )


@dataclass(frozen=True)
class Rectifier:
    """ReLU, or leaky ReLU where the slope is not 0, on the features of active sites."""

    negative_slope: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Dropout on the features of active sites; the identity in evaluation."""

    probability: float

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise UserError(f"dropout probability {self.probability} is not in [0, 1)")


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation over the rows of active sites; weight and bias `[C]`.

    In training by the rows' own mean and variance, in evaluation by the running ones.
    """

    channels: int
    bias: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_channels(self.channels)

    @property
    def weight_shape(self) -> Axes:
        """Shape of the weight."""
        return (self.channels,)


@dataclass(frozen=True)
class Linear:
    """Linear map of each active site's features; weight `[C_out, C_in]`."""

    in_channels: int
    out_channels: int
    bias: bool = True

    def __post_init__(self) -> None:
        _check_channels(self.in_channels, self.out_channels)

    @property
    def weight_shape(self) -> Axes:
        """Shape of the weight in torch's layout."""
        return (self.out_channels, self.in_channels)


@dataclass(frozen=True)
class Concatenate:
    """Joins the channels of tensors that are active at the same sites."""


@dataclass(frozen=True)
class Add:
    """Sums tensors that are active at the same sites."""


Pointwise = Rectifier | Dropout | BatchNorm | Linear
Joining = Concatenate | Add
Weighted = Convolution | InverseConvolution | Linear | BatchNorm
Operator = Convolution | InverseConvolution | MaxPooling | Pointwise | Joining


def convolution(
    dimensions: int,
    rule: Rule | str,
    in_channels: int,
    out_channels: int,
    kernel_size: int | Axes,
    stride: int | Axes = 1,
    padding: int | Axes | None = None,
    dilation: int | Axes = 1,
    *,
    bias: bool = True,
) -> Convolution:
    """Make a convolution, spreading single numbers over the axes.

    `padding` defaults to "same" for a submanifold convolution and to 0 otherwise.

    Raises:
        UserError: if the rule is unknown or forbids the geometry.
    """
    try:
        rule = Rule(rule)
    except ValueError:
        known = ", ".join(Rule)
        raise UserError(f"unknown convolution rule {rule!r}; the rules are {known}") from None
    geometry = window(dimensions, kernel_size, stride, 0, dilation)
    if padding is None:
        padding = _same_padding(geometry) if rule is Rule.SUBMANIFOLD else 0
    geometry = window(dimensions, kernel_size, stride, padding, dilation)
    return Convolution(rule, in_channels, out_channels, geometry, bias)


def max_pooling(
    dimensions: int,
    kernel_size: int | Axes,
    stride: int | Axes,
    padding: int | Axes = 0,
    dilation: int | Axes = 1,
) -> MaxPooling:
    """Make a max pooling, spreading single numbers over the axes."""
    return MaxPooling(window(dimensions, kernel_size, stride, padding, dilation))


def _same_padding(geometry: Window) -> Axes:
    return tuple(
        dilation * (size - 1) // 2
        for size, dilation in zip(geometry.kernel_size, geometry.dilation, strict=True)
    )


def _check_submanifold(geometry: Window) -> None:
    if any(size % 2 == 0 for size in geometry.kernel_size):
        raise UserError(
            f"a submanifold convolution has no agreed anchor for an even kernel "
            f"{geometry.kernel_size} (libraries differ: -1,0 against 0,1); use an odd kernel"
        )
    if any(step != 1 for step in geometry.stride) or geometry.padding != _same_padding(geometry):
        raise UserError(
            f"a submanifold convolution needs stride 1 and padding {_same_padding(geometry)}, not "
            f"stride {geometry.stride} and padding {geometry.padding}"
        )


def _check_channels(*channels: int) -> None:
    for count in channels:
        if not hasattr(count, "__index__") or count < 1:
            raise UserError(f"a number of channels is a whole number of at least 1, not {count!r}")
