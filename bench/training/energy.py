"""Energy that a GPU has taken, where NVIDIA's management library (nvidia-ml-py) counts it."""

from collections.abc import Callable

import torch

JOULES = 1e-3
"""The library counts in thousandths."""


def energy_meter(device: torch.device) -> Callable[[], float | None]:
    """Make a function that returns joules since the driver was loaded.

    It returns None on a CPU, without the library, and for a GPU that does not count.
    """
    if device.type != "cuda":
        return _nothing
    try:
        import pynvml  # noqa: PLC0415
    except ImportError:
        return _nothing
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(_identity(device))
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return _nothing

    def joules() -> float | None:
        try:
            return JOULES * float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError:
            return None

    return joules


def _nothing() -> None:
    """Measure nothing."""


def _identity(device: torch.device) -> str:
    """Name a GPU as the library does, whatever CUDA_VISIBLE_DEVICES makes of its number."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
