"""The choices that hold for one GPU."""

import importlib
from pathlib import Path

import torch

from bench.gpu import gpu_facts
from bench.implementation import source_digest
from impls.cuda.choices import Choices
from impls.cuda.launching import FOLDER as KERNELS


def choices_of(folder: Path, device: torch.device) -> Choices:
    """Open what was measured on such a GPU, with this driver, compiler and these kernels.

    Args:
        folder: of the files.
        device: a GPU.
    """
    cuda = importlib.import_module("cupy").cuda
    facts = {
        "gpu": torch.cuda.get_device_name(device),
        "driver": _driver(device),
        "compiler": "NVRTC {}.{}".format(*cuda.nvrtc.getVersion()),
        "kernels": source_digest(KERNELS, "*.cu*"),
    }
    return Choices(folder, facts)


def _driver(device: torch.device) -> str:
    """Its version; where NVML does not tell, the newest CUDA that it supports."""
    told = gpu_facts(device).get("gpu driver")
    if told is not None:
        return told
    runtime = importlib.import_module("cupy").cuda.runtime
    return f"CUDA {runtime.driverGetVersion()}"
