"""`python -m tests.cuda_on_host.traffic`: what kernels ask of memory, counted on the CPU, not timed.

A layer runs forwards and backwards. A unit of shared memory is a wavefront, in which each of 32 banks
serves one word of 4 bytes; one of device memory is a sector of 32 bytes. Beside the units that a kernel
takes stand the fewest that what it asks for fits into: more wavefronts are bank conflicts, more sectors
hold bytes that nobody asked for.
"""

import argparse
import ctypes
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from bench.dtypes import DTYPES, TF32, products_in, torch_dtype
from bench.operators import MaxPooling, Rule, convolution, max_pooling
from impls.cuda import Cuda
from suites.patterns import Uniform
from tests.cuda_on_host.build import HostLauncher, library, run

MOST_INSTRUCTIONS = 4096
KERNELS = re.compile(r"(?!ptx\.)\w+\.cuh?:")
KINDS = {
    (True, False): "shared, read",
    (True, True): "shared, written",
    (False, False): "device, read",
    (False, True): "device, written",
}


class _Row(ctypes.Structure):
    """Of traffic.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("instruction", "is_shared", "writes", "bytes", "requests", "units", "fewest")
    )


@dataclass
class Sum:
    """Requests of warps, and the units that they take; see above."""

    requests: int = 0
    units: int = 0
    fewest: int = 0

    def add(self, row):
        self.requests += row.requests
        self.units += row.units
        self.fewest += row.fewest


class CountingLauncher(HostLauncher):
    """Launches on the CPU and counts what each kernel asks of memory.

    Attributes:
        counted: `Sum` by kernel's name, kind of access, bytes of a lane, and line of the source where
            lines are wanted.
    """

    def __init__(self, folder, *, lines=False):
        super().__init__(folder)
        self.lines = lines
        self.counted = defaultdict(Sum)

    def launch(self, kernel, blocks, parameters, device):
        loaded = library(kernel.file, (kernel.name,), self.folder, counting=True)
        run(loaded, 0, blocks, kernel.threads, parameters, shared_bytes=kernel.shared_bytes)
        for line, row in taken(loaded):
            kind = KINDS[bool(row.is_shared), bool(row.writes)]
            self.counted[kernel.name, kind, row.bytes, line if self.lines else ""].add(row)


def taken(loaded):
    """What a library has counted since the last call: a line of the source and a row by instruction."""
    rows = (_Row * MOST_INSTRUCTIONS)()
    count = loaded.take_traffic(rows, MOST_INSTRUCTIONS)
    assert count <= MOST_INSTRUCTIONS
    lines = [line_of(loaded._name, row.instruction) for row in rows[:count]]
    return [(line, row) for line, row in zip(lines, rows, strict=False) if line is not None]


@cache
def line_of(path, instruction):
    """File and line that an instruction was compiled from; None where it is a stand-in's own."""
    command = ["addr2line", "-i", "-s", "-e", path, hex(instruction)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    is_atomic = found[0].startswith("built_ins.h:")
    line = found[-1 if is_atomic else 0]
    return line if KERNELS.match(line) else None


class Counted(Cuda):
    def __init__(self, launcher):
        self.counting = launcher

    def launcher(self):
        return self.counting


def count(launcher, operator, batch, dtype):
    """Count a layer, forwards and backwards."""
    implementation = Counted(launcher)
    if isinstance(operator, MaxPooling):
        module = implementation.max_pooling(operator)
    else:
        weight = torch.randn(operator.weight_shape).to(batch.features.dtype)
        module = implementation.convolution(operator, weight, weight.new_ones(len(weight)))
    features = batch.features.requires_grad_()
    with products_in(dtype):
        output = module(implementation.encode(batch.with_features(features))).features
        output.backward(torch.randn(output.shape).to(output.dtype))


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.cuda_on_host.traffic", description=__doc__
    )
    parser.add_argument("--channels", type=int, nargs=2, default=(64, 64), metavar=("IN", "OUT"))
    parser.add_argument("--dtype", choices=(*DTYPES, TF32), default="float16")
    parser.add_argument("--grid", type=int, nargs="+", default=(12, 12, 12))
    parser.add_argument("--density", type=float, default=0.2)
    parser.add_argument("--rule", choices=(*Rule, "pooling"), default="submanifold")
    parser.add_argument("--lines", action="store_true", help="by line of the source")
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    ins, outs = given.channels
    batch = Uniform(tuple(given.grid), 1, given.density).batch(ins, 0)
    batch = batch.with_features(batch.features.to(torch_dtype(given.dtype)))
    if given.rule == "pooling":
        operator = max_pooling(len(given.grid), 2, 2)
    else:
        operator = convolution(len(given.grid), given.rule, ins, outs, 3, padding=1)
    with tempfile.TemporaryDirectory() as folder:
        launcher = CountingLauncher(Path(folder), lines=given.lines)
        count(launcher, operator, batch, given.dtype)
    print(f"{len(batch.features)} sites\n{'requests':>9} {'units':>9} {'fewest':>9}")
    for (name, kind, size, line), each in launcher.counted.items():
        numbers = f"{each.requests:9} {each.units:9} {each.fewest:9}"
        print(f"{numbers}  {name}: {kind}, {size} bytes a lane {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
