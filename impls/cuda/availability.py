"""Why the CUDA kernels cannot run here, in words."""

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import torch

from bench.errors import kind_and_line

LEAST_CAPABILITY = (8, 0)
"""Compute capability that the kernels are written for: bfloat16 conversions need it."""
CACHE_CURE = "set CUPY_CACHE_DIR to a folder that CuPy may keep compiled kernels in"


@cache
def why_unavailable(device: torch.device) -> str | None:
    """Say in words why kernels cannot be compiled and run on a device, or return None."""
    if device.type != "cuda":
        return f"the CUDA kernels run on NVIDIA GPUs, not on {device.type}"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no NVIDIA driver and GPU here"
    try:
        cupy = importlib.import_module("cupy")
        versions = runtime_version(cupy), cupy.cuda.runtime.driverGetVersion()
    except Exception as error:  # noqa: BLE001  # whatever its code runs into when it is imported
        return why_not_importable(error, torch.version.cuda)
    capability = torch.cuda.get_device_capability(device)
    reason = why_unfit(torch.version.cuda, *versions, capability)
    return reason or _self_check(device)


def runtime_version(cupy: ModuleType) -> int:
    """CUDA version that CuPy was built for: 13020 is 13.2."""
    version: int = cupy.cuda.runtime.runtimeGetVersion()
    return version


def why_not_importable(error: Exception, torch_cuda: str) -> str:
    """Say what is wrong with CuPy and what cures that."""
    cure = f"`pip install cupy-cuda{torch_cuda.split('.', maxsplit=1)[0]}x` installs it"
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        return f"CuPy is not installed; {cure}"
    if _is_of_a_file(error):
        cure = CACHE_CURE
    return f"CuPy does not import ({kind_and_line(error)}); {cure}"


def why_unfit(
    torch_cuda: str, cupy_cuda: int, driver_cuda: int, capability: tuple[int, int]
) -> str | None:
    """Say which of torch, CuPy, driver and GPU does not fit the others, or return None.

    Args:
        torch_cuda: CUDA version that torch was built for, as in "13.0".
        cupy_cuda: CUDA version that CuPy was built for, as in 13020.
        driver_cuda: newest CUDA version that the driver supports, likewise.
        capability: of the GPU.
    """
    major = int(torch_cuda.split(".", maxsplit=1)[0])
    if cupy_cuda // 1000 != major:
        return (
            f"CuPy was built for CUDA {_version(cupy_cuda)}, torch for {torch_cuda}; "
            f"`pip install cupy-cuda{major}x` installs the one that fits"
        )
    if driver_cuda // 1000 < cupy_cuda // 1000:
        return (
            f"the driver supports CUDA up to {_version(driver_cuda)}, and CuPy was built for "
            f"{_version(cupy_cuda)}; update the driver"
        )
    if capability < LEAST_CAPABILITY:
        found, least = (".".join(map(str, pair)) for pair in (capability, LEAST_CAPABILITY))
        return f"the GPU has compute capability {found}; the CUDA kernels need {least}"
    return None


def _self_check(device: torch.device) -> str | None:
    """Compile and run one small kernel: what the versions do not tell shows here."""
    places: Any = importlib.import_module("impls.cuda.places")
    launcher: Any = importlib.import_module("impls.cuda.cupy_launcher").CUPY_LAUNCHER
    try:
        rows = torch.tensor([[0, 0, 1], [0, 1, 0]], dtype=torch.int32, device=device)
        sites = places.Places(rows, 1, (2, 2), launcher, places.Tuning())
        sites.index()
        torch.cuda.synchronize(device)
    except Exception as error:  # noqa: BLE001  # a compiler's or a driver's
        return why_not_started(error)
    return None


def why_not_started(error: Exception) -> str:
    """Say what a first kernel ran into, and what cures it where that is known."""
    reason = f"a first kernel does not compile or run: {kind_and_line(error)}"
    return f"{reason}; {CACHE_CURE}" if _is_of_a_file(error) else reason


def _is_of_a_file(error: Exception) -> bool:
    """Whether a file cannot be made or written: all that CuPy does with files is to keep kernels."""
    return isinstance(error, OSError) and error.filename is not None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
