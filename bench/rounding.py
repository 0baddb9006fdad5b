"""How far rounding may take a network's outputs and gradients from the oracle's.

Outputs: rounding errors are followed through the layers as variances, in squared unit roundoffs. A
sum of n products adds n times the sum of their squares (every partial sum is rounded, and grows like
a random walk: Higham 2002, section 4.2), and hands on its inputs' errors with its squared weights. A
rectifier of slope at most 1 and a max pooling enlarge nothing.

Gradients jump where a rectifier's input lies within rounding of 0, or a pooling's two largest values
within rounding of each other: which way such a kink falls is chance, and changes no output by more
than rounding. So the oracle runs twice more, with all kinks within reach fallen to one side, then to
the other, and with values and gradients disturbed by roundings in every layer. What these runs'
gradients differ by from the exact ones is what an honest implementation's may.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.operators import Convolution, InverseConvolution, Linear, Operator

HALF_TYPES = (torch.bfloat16, torch.float16)
HALF_ROUNDINGS = 8.0
"""How many roundings of half types a single sum may be off by."""
DEVIATIONS = 6.0
"""Standard deviations of its own rounding error that a value may be off by."""
NOISE = 2.0
"""The same of the roundings that disturb a run: well below what kinks fall by, so that all fall."""


def unit_roundoff(dtype: torch.dtype) -> float:
    """Largest relative error of one rounding."""
    return torch.finfo(dtype).eps / 2


def roundings(operator: Operator, dtype: torch.dtype) -> int:
    """How many roundings one output value of an operator collects.

    One for each product that is summed; in half types one for each kernel offset, as products are
    summed in float32 but some kernels round once an offset.
    """
    half = dtype in HALF_TYPES
    match operator:
        case Convolution(window=window) | InverseConvolution(window=window):
            return window.volume * (1 if half else operator.in_channels)
        case Linear(in_channels=channels):
            return 1 if half else channels
        case _:
            return 1


@dataclass(frozen=True, eq=False)
class Disturbance:
    """What a run suffers.

    Attributes:
        unit: unit roundoff of the type under test.
        side: 0 for nothing; -1 or 1 for roundings, with all kinks within reach fallen to that side.
        generator: of the roundings.
    """

    unit: float
    side: int
    generator: torch.Generator

    def reach(self, variance: Tensor) -> Tensor:
        """How far off a value of this variance may be."""
        return DEVIATIONS * self.unit * variance.sqrt()

    def round(self, values: Tensor, terms: int) -> Tensor:
        """Disturb values, and the gradients that come back to them, as sums of so many terms are."""
        if not self.side:
            return values
        disturbed = values * self._roundings(values, terms)
        if disturbed.requires_grad:
            disturbed.register_hook(lambda upstream: upstream * self._roundings(upstream, terms))
        return disturbed

    def spread(self, vector: Tensor, rows: int) -> Tensor:
        """Hand a vector `[C]` to every row; disturb its gradient as the sum over all rows is.

        The roundings of n partial sums that grow like a random walk add up to about a unit roundoff
        of the sum of absolute values.
        """
        values = vector.expand(rows, -1)
        if self.side and values.requires_grad:
            size = self.side * NOISE * self.unit
            values.register_hook(lambda upstream: upstream + size * upstream.abs())
        return values

    def rectify(self, values: Tensor, variance: Tensor, slope: float) -> Tensor:
        """Rectify values; those within reach of 0 are taken to lie on the run's side of it."""
        passes = values.detach() + self.side * self.reach(variance) > 0
        return torch.where(passes, values, slope * values)

    def _roundings(self, values: Tensor, terms: int) -> Tensor:
        noise = torch.randn(values.shape, generator=self.generator)
        return 1 + NOISE * self.unit * math.sqrt(terms) * noise
