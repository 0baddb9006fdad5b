"""`python -m tools.host_time`: what calls of `cuda` take the host, without a GPU.

Everything is done as on a GPU, on tensors of the CPU, but nothing is launched. CuPy's and the driver's
share of a launch, and what torch's own operators take on a GPU, come on top.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from ctypes import Structure, c_int64

import torch

from bench.batch import SparseBatch, coordinates_of
from bench.operators import Convolution, convolution
from bench.window import Axes
from impls.cuda import Cuda, launching, structures
from impls.cuda.launching import Kernel, Launcher

MULTIPROCESSORS = 132
SHARED_BYTES = 227 * 2**10
SITES = 500
"""Few, as in the layers that take the device less time than the host."""
CALLS = 20
"""Of a sample."""
NUMBERING = (launching.FIND_FEW_OUTPUTS, launching.ADD_UP_TILES)
"""Kernels that tell the number of output sites."""
LAYERS: tuple[tuple[Convolution, Axes], ...] = (
    (convolution(3, "submanifold", 16, 16, 3), (32, 32, 32)),
    (convolution(2, "full", 32, 32, 2), (96, 96)),
    (convolution(3, "full", 32, 32, 3, 2), (32, 32, 32)),
)


class LaunchingNothing(Launcher):
    """Counts launches; tells whoever asks for the number of output sites that there are `SITES`."""

    def __init__(self) -> None:
        self.launches = 0

    def multiprocessors(self, device: torch.device) -> int:
        """As many as a large GPU has."""
        del device
        return MULTIPROCESSORS

    def shared_bytes(self, device: torch.device) -> int:
        """As much as its blocks get."""
        del device
        return SHARED_BYTES

    def compile(self, kernel: Kernel, device: torch.device) -> None:
        """Do nothing."""

    def launch(
        self,
        kernel: Kernel,
        blocks: tuple[int, int, int],
        parameters: Structure,
        device: torch.device,
    ) -> None:
        """Write the one number that is read back."""
        del blocks, device
        self.launches += 1
        ranking = (
            parameters.ranking if isinstance(parameters, structures.FewOutputs) else parameters
        )
        if kernel in NUMBERING and isinstance(ranking, structures.Ranking):
            starts = (c_int64 * (ranking.tiles + 1)).from_address(ranking.tile_starts)
            starts[ranking.tiles] = SITES


class Subject(Cuda):
    """The implementation without a GPU."""

    def __init__(self) -> None:
        self.nothing = LaunchingNothing()

    def launcher(self) -> Launcher:
        """Launch nothing."""
        return self.nothing


def main(arguments: Sequence[str] | None = None) -> int:
    """Print microseconds of a call, the median of samples in turn, and its launches."""
    parser = argparse.ArgumentParser(prog="python -m tools.host_time", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each call (default 1)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for operator, grid_size in LAYERS:
        window = "x".join(map(str, operator.window.kernel_size))
        print(f"{operator.rule} {window}, stride {operator.window.stride[0]}")  # noqa: T201
        subject = Subject()
        calls = calls_of(subject, operator, grid_size)
        for name, microseconds in sampled(calls, options.seconds).items():
            subject.nothing.launches = 0
            calls[name]()
            launches = subject.nothing.launches
            print(f"  {name:14}{microseconds:8.1f} µs, {launches} launches")  # noqa: T201
    return 0


def calls_of(
    subject: Subject, operator: Convolution, grid_size: Axes
) -> dict[str, Callable[[], object]]:
    """Name the calls of a layer: two that build a kernel map and one that has it."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(torch.Size(grid_size).numel(), generator=generator)[:SITES].sort().values
    features = torch.randn(SITES, operator.in_channels, generator=generator)
    batch = SparseBatch(coordinates_of(keys, grid_size), features, 1, grid_size)
    weight = torch.randn(operator.weight_shape, generator=generator)
    module = subject.convolution(operator, weight, torch.zeros(operator.out_channels))
    known = subject.encode(batch)
    leaf = features.clone().requires_grad_()

    @torch.no_grad()
    def forward() -> None:
        module(known)

    @torch.no_grad()
    def forward_cold() -> None:
        module(subject.encode(batch))

    def train_step() -> None:
        native = subject.with_features(subject.encode(batch), leaf)
        loss = subject.features(module(native)).sum()
        torch.autograd.grad(loss, [leaf, *module.parameters()])

    forward()
    return {"forward": forward, "forward_cold": forward_cold, "train_step": train_step}


def sampled(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Sample the calls in turn; the median, in microseconds, of each."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds * len(calls)
    while not samples[next(iter(calls))] or time.perf_counter() < end:
        for name, call in calls.items():
            begun = time.perf_counter()
            for _ in range(CALLS):
                call()
            samples[name].append((time.perf_counter() - begun) / CALLS * 1e6)
    return {name: statistics.median(each) for name, each in samples.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
