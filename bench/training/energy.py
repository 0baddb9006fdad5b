"""Energy that a GPU has taken, where NVIDIA's management library (nvidia-ml-py) counts it."""

import math
from collections.abc import Callable

import torch

from bench.gpu import find_gpu

JOULES = 1e-3
"""The library counts in thousandths."""


def energy_meter(device: torch.device) -> Callable[[], float]:
    """Make a function that returns joules since the driver was loaded.

    It returns NaN on a CPU, without the library, and when a GPU does not count.
    """
    gpu = find_gpu(device)
    if gpu is None:
        return _unknown

    def joules() -> float:
        counted = gpu.ask("nvmlDeviceGetTotalEnergyConsumption")
        return math.nan if counted is None else JOULES * counted

    return joules


def _unknown() -> float:
    return math.nan
