"""Timings whose truth is known."""

import math

import numpy as np

from bench.results.schema import Samples, Timing


def simulated(generator, *, processes=3, rounds=20, between=0.0, within=0.03, shift=0.0):
    """Times around 1 ms whose processes differ by `between`, and rounds by `within`."""
    found = []
    for process in range(processes):
        offset = shift + generator.normal(0, between)
        values = 1e-3 * np.exp(offset + generator.normal(0, within, rounds))
        found.append(Samples(process, 1, tuple((int(value * 1e9),) for value in values)))
    return Timing("made up", tuple(found))


def exact(processes=3, rounds=20, nanoseconds=1_000_000):
    return Timing(
        "made up",
        tuple(Samples(process, 1, ((nanoseconds,),) * rounds) for process in range(processes)),
    )


def around(*logarithms, rounds=(0.0, 0.0, 0.0)):
    """Times around 1 ms: a process for each logarithm, whose rounds lie around that."""
    return Timing(
        "made up",
        tuple(
            Samples(number, 1, tuple((round(1e9 * math.exp(own + each)),) for each in rounds))
            for number, own in enumerate(logarithms)
        ),
    )
