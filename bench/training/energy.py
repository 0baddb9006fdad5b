"""Energy that a GPU has taken, where NVIDIA's management library (nvidia-ml-py) counts it."""

import math
from collections.abc import Callable

import torch

JOULES = 1e-3
"""The library counts in thousandths."""


def energy_meter(device: torch.device) -> Callable[[], float]:
    """Make a function that returns joules since the driver was loaded.

    It returns NaN on a CPU, without the library, and when a GPU does not count.
    """
    if device.type != "cuda":
        return _unknown
    try:
        import pynvml  # noqa: PLC0415
    except ImportError:
        return _unknown
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(_identity(device))
    except pynvml.NVMLError:
        return _unknown

    def joules() -> float:
        try:
            return JOULES * float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError:
            return math.nan

    return joules


def _unknown() -> float:
    return math.nan


def _identity(device: torch.device) -> str:
    """Name a GPU as the library does, whatever CUDA_VISIBLE_DEVICES makes of its number."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
