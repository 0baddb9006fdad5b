"""What the CUDA kernels are checked on, on the host and on a GPU."""

import pytest
import torch

from bench.build import operands
from bench.conformance.cases import all_cases
from bench.dtypes import products_in
from bench.measure.candidate import Candidate, IncorrectError, Problem
from bench.network import Layer, Network, single
from bench.operators import BatchNorm, Rectifier, convolution, max_pooling
from bench.oracle.expectation import expect
from impls.cuda.places import Tuning
from impls.cuda.shapes import Chooser

CPU = torch.device("cpu")

TILES_AND_HASHES = Tuning(
    bitmap_sites=0,
    few_channels=0,
    grouped_rows=0,
    whole_rows=0,
    share_offsets=1,
    share_rows=16,
)
"""What large grids and many channels take, on small ones; rows are sorted, and split into shares."""
SORTED_AND_WHOLE = Tuning(
    few_channels=0, grouped_rows=0, whole_rows=0, few_pairs=-1, share_offsets=1000
)
"""What many rows take: sorted ones, output sites found in several launches, a thread looking up a row's
neighbours, and blocks that add up all offsets."""

half_cases = pytest.mark.parametrize(
    ("dtype", "rule", "channels", "tuned"),
    [
        (dtype, rule, channels, tuned)
        for dtype in (torch.float16, torch.bfloat16)
        for rule in ("submanifold", "full", "sparsity_invariant")
        for channels, tuned in (((16, 24), "subject"), ((40, 72), "whole"))
    ],
)
"""Convolutions of half types that tensor cores multiply, and how the implementation is tuned."""


every_type = pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        pytest.param("tf32", marks=pytest.mark.slow),
        "float64",
        "float16",
        pytest.param("bfloat16", marks=pytest.mark.slow),
    ],
)
"""Whatever products are computed in; tf32 and the half types share all but their conversions."""


class InTurn(Chooser):
    """Chooses the shape of one number, counted round where a launch has fewer.

    Attributes:
        number: see above.
        most: the largest number of shapes that a launch had.
    """

    def __init__(self):
        self.number = 0
        self.most = 1

    def choose(self, launch):
        shapes = launch.shapes()
        assert shapes[0] == launch.rule()
        self.most = max(self.most, len(shapes))
        return shapes[self.number % len(shapes)]


def check_every_shape(implementation, random_batch, dtype, device=CPU):
    """Compare convolutions in every shape that measuring may choose with the oracle, backwards too."""
    channels = [(67, 130), (12, 20)]
    if dtype != "float64":
        channels += [(72, 136), (70, 138)]  # the latter by copies of two elements
    for ins, outs in [(72, 136), (70, 138), (16, 24)] if dtype == "tf32" else channels:
        network = single(convolution(2, "full", ins, outs, 3, padding=1, bias=True))
        batch = random_batch(
            (9, 8), density=0.4, channels=ins
        )  # outputs fill two tiles of 128 rows
        batch, weights = operands(network, 0, batch, dtype, device)
        expectation = expect(network, weights, batch, tf32=dtype == "tf32")
        implementation.chooser = chooser = InTurn()
        while chooser.number < chooser.most:
            candidate = Candidate(implementation, Problem(network, weights, batch, expectation))
            with products_in(dtype):
                try:
                    candidate.verify_gradients()
                except IncorrectError as error:
                    pytest.fail(f"shape {chooser.number} of {ins} channels: {error}")
            chooser.number += 1


def shifted(tensor):
    """The same values at an address that no copy of 16 bytes, nor any wide load, can begin at."""
    memory = tensor.new_empty(tensor.numel() + 1)
    assert memory.data_ptr() % 16 == 0
    return memory[1:].view_as(tensor).copy_(tensor)


def check_shifted(implementation, random_batch, dtype, device=CPU):
    """Compare a convolution of shifted features, its gradients at shifted ones too, with another's."""
    operator = convolution(2, "submanifold", 16, 24, 3)
    batch = random_batch((16, 12), channels=16, dtype=dtype).to(device)
    torch.manual_seed(0)
    weight = torch.randn(operator.weight_shape).to(device, dtype)
    upstream = torch.randn(len(batch.features), 24).to(device, dtype)
    results = []
    for place in (torch.clone, shifted):
        module = implementation.convolution(operator, weight, None)
        features = place(batch.features).requires_grad_()
        output = module(implementation.encode(batch.with_features(features))).features
        output.backward(place(upstream))
        results.append((output, features.grad, module.weight.grad))
    for found, wanted in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)


def cases(step):
    """Every systematic case; one in so many is quick. Types and densities recur every ten."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=str(case), marks=[pytest.mark.slow] if number % step else [])
            for number, case in enumerate(all_cases())
        ],
    )


def network_in_tf32():
    """A network whose layers are wide enough for tensor cores."""
    layers = (
        Layer("first", convolution(2, "submanifold", 16, 16, 3)),
        Layer("norm", BatchNorm(16)),
        Layer("active", Rectifier(0.0)),
        Layer("pool", max_pooling(2, 2, 2)),
        Layer("second", convolution(2, "full", 16, 32, 3, padding=1, bias=True)),
        Layer("last", convolution(2, "submanifold", 32, 16, 3)),
    )
    return Network(layers)


def judged(subject, network, batch, device=CPU, *, tf32):
    """What is wrong with a network's output and gradients in tf32, or None."""
    batch, weights = operands(network, 0, batch, "tf32", device)
    expectation = expect(network, weights, batch, tf32=tf32)
    candidate = Candidate(subject, Problem(network, weights, batch, expectation))
    try:
        with products_in("tf32"):
            candidate.verify_outputs()
            candidate.verify_gradients()
    except IncorrectError as error:
        return str(error)
    return None
