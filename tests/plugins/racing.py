"""`python tests/plugins/racing.py`: spconv's CPU code on two threads, counted as it goes wrong.

Prints JSON: shares of forward passes that were wrong, and of conformance checks that refused it, first
as the adapter runs it, then without its one thread.
"""

import contextlib
import json

import torch

from bench.batch import SparseBatch
from bench.conformance.checks import check_batch
from bench.network import single
from bench.operators import convolution
from impls import spconv_native
from impls.spconv import Spconv

PASSES = 50
CHECKS = 5


def measure(operator, batch):
    """Share of wrong passes, share of refused checks, and the first check's words."""
    implementation = Spconv()
    module = implementation.convolution(operator, torch.randn(operator.weight_shape), None)
    native = implementation.encode(batch)
    with torch.no_grad():
        torch.set_num_threads(1)
        wanted = module(native).features
        torch.set_num_threads(2)
        found = [module(native).features for _ in range(PASSES)]
    outcomes = [check_batch(implementation, single(operator), batch) for _ in range(CHECKS)]
    return {
        "wrong": sum(not torch.allclose(each, wanted, atol=1e-4) for each in found) / PASSES,
        "refused": sum(not outcome.passed for outcome in outcomes) / CHECKS,
        "reason": next((each.reason for each in outcomes if not each.passed), ""),
        "threads": torch.get_num_threads(),
    }


def main():
    """Measure the adapter as it is, and without its one thread."""
    torch.manual_seed(0)
    operator = convolution(2, "full", 16, 16, 3, 1, 1)
    coordinates = (torch.rand(2, 64, 64) < 0.3).nonzero().int()
    batch = SparseBatch(coordinates, torch.randn(len(coordinates), 16), 2, (64, 64))
    pinned = measure(operator, batch)
    spconv_native.one_thread = contextlib.nullcontext
    print(json.dumps({"pinned": pinned, "racing": measure(operator, batch)}))


if __name__ == "__main__":
    assert Spconv().unavailable(torch.device("cpu")) is None
    main()
