"""What the tests of both libraries share."""

import os
import subprocess
import sys

import pytest

from bench.conformance.cases import all_cases
from bench.network import Layer, Network
from bench.operators import (
    Add,
    Concatenate,
    InverseConvolution,
    Rectifier,
    convolution,
    max_pooling,
)


def cases(*dtypes):
    """Every systematic case of these element types, to parametrize with."""
    return pytest.mark.parametrize(
        "case", [case for case in all_cases() if case.dtype in dtypes], ids=str
    )


def check_that_no_thread_is_started(subject):
    """Workers are forked from a process that asked: in a fork, OpenMP waits for ever for its threads.

    OpenBLAS, which starts its threads when it is loaded, ends them before a fork.
    """
    code = (
        "import importlib, os, sys, torch\n"
        "module, name = sys.argv[1].split(':')\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = count()\n"
        "subject = getattr(importlib.import_module(module), name)()\n"
        "assert subject.unavailable(torch.device('cpu')) is None\n"
        "print(torch.get_num_threads(), count() - before)"
    )
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, subject],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | threads,
    )
    assert done.stdout.split() == ["2", "0"], (
        "number of OpenMP threads allowed, and of threads started"
    )


def u_shaped(dimensions):
    """Down by a tiling pooling, an overlapping one and a convolution, and up again on all three."""
    tiled = max_pooling(dimensions, 2, 2)
    overlapping = max_pooling(dimensions, 3, 2, 1)
    strided = convolution(dimensions, "full", 3, 5, 3, 2, 1)
    return Network(
        (
            Layer("stem", convolution(dimensions, "submanifold", 3, 3, 3)),
            Layer("active", Rectifier(1 / 3)),
            Layer("tiled", tiled, ("active",)),
            Layer("overlapping", overlapping, ("active",)),
            Layer("strided", strided, ("active",)),
            Layer("middle", convolution(dimensions, "submanifold", 5, 5, 3), ("strided",)),
            Layer("up", InverseConvolution(5, 3, strided.window), ("middle", "active")),
            Layer("same", InverseConvolution(3, 3, overlapping.window), ("overlapping", "active")),
            # Sites that another window made: rows in another order, and some that it never makes.
            Layer("other", InverseConvolution(3, 3, overlapping.window), ("tiled", "active")),
            Layer("sum", Add(), ("up", "same", "other")),
            Layer("both", Concatenate(), ("sum", "stem")),
            Layer("grown", convolution(dimensions, "full", 6, 4, 2, padding=1)),
            Layer("valid", convolution(dimensions, "full", 4, 2, 3)),
            Layer("last", max_pooling(dimensions, 2, 2)),
        )
    )
