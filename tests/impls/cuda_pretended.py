"""A product and a clock of the tests' own, for the choice by measuring."""

import torch

from bench.measure.timers import Duration
from impls.cuda.shapes import Launch, Problem, Shape
from impls.cuda.tiles import Family, Tile

CPU = torch.device("cpu")
RULE, WIDE, FEW = (
    Shape(Family.TILES, Tile(64, 64, 4, 4), 4),
    Shape(Family.TILES, Tile(128, 128, 8, 8), 4),
    Shape(Family.FEW, None, 4),
)


class Pretended(Launch):
    """Computes 1, or what the test says, in three shapes."""

    def __init__(self, results=None, rows=1000, channels=16, device=CPU, alike=()):
        self.results = results or {}
        self.rows = rows
        self.channels = channels
        self.device = device
        self.alike = alike
        self.ran = []
        self.compiled = []

    def problem(self):
        bits = self.rows.bit_length()
        return Problem(
            "convolution",
            torch.float32,
            family=Family.TILES,
            in_channels=self.channels,
            out_channels=32,
            offsets=9,
            row_bits=bits,
            device=self.device,
        )

    def rule(self):
        return RULE

    def candidates(self):
        return [RULE, WIDE, FEW]

    def launched(self, shape):
        return "alike" if shape in self.alike else shape

    def compile(self, shape):
        self.compiled.append(shape)

    def run(self, shape):
        assert shape == RULE or shape in self.compiled
        self.ran.append(shape)
        result = self.results.get(shape, 1.0)
        if isinstance(result, Exception):
            raise result
        return torch.full((4, 2), result)

    def allowed(self):
        return torch.full((4, 2), 1e-3)


class PretendedTimer:
    """A clock that shows what the test says, by shape, and in turn where that is a list."""

    def __init__(self, nanoseconds):
        self.nanoseconds = nanoseconds
        self.timed = []

    def time(self, call, arguments):
        (shape,) = arguments
        shown = self.nanoseconds[shape]
        if isinstance(shown, list):
            shown = shown[sum(other == shape for other in self.timed)]
        self.timed.append(shape)
        return Duration(shown), call(shape)
