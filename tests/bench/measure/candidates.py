"""Candidates of one network, for tests of what is timed and what is found out."""

import pytest
import torch

from bench.background import Background
from bench.build import initial_weights
from bench.measure.candidate import Candidate, Problem
from bench.oracle.expectation import expect
from impls.dense import Dense, DenseFromSparse
from impls.gather import Gather
from impls.masked import Masked

IMPLEMENTATIONS = (Dense(), DenseFromSparse(), Masked(), Gather())

every_implementation = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS, ids=lambda implementation: implementation.name
)


def candidate(implementation, network, batch, background=Background.ZERO):
    weights = initial_weights(network, 0, batch.features.dtype, torch.device("cpu"))
    expectation = expect(network, weights, batch, background=background)
    return Candidate(implementation, Problem(network, weights, batch, expectation, background))


def call(step):
    return step.call(step.prepare())
