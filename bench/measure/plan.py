"""What a run is to measure, checked before anything is measured."""

import os
from dataclasses import dataclass

import torch

from bench.dtypes import TF32, torch_dtype
from bench.errors import UserError
from bench.plugins.installed import Broken, Reference
from bench.results.schema import Settings
from bench.workload import Suite, Workload

FIRST_WITH_TF32 = 8, 0
"""Compute capability."""


def check_device(name: str) -> torch.device:
    """Return torch's device of a name; the first of a kind has no number, so that it has one name.

    Raises:
        UserError: if it is unknown or not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}; known are cpu and cuda") from None
    if device.type not in {"cpu", "cuda"}:
        raise UserError(f"device {name!r} is not measured; known are cpu and cuda")
    if device.type == "cpu" and device.index:
        raise UserError(f"device {name!r} is not there; all processors together are cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch {torch.__version__} finds no CUDA device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise UserError(f"device {name!r} is not there; the last CUDA device is cuda:{last}")
    return device if device.index else torch.device(device.type)


def _check_tf32(device: torch.device) -> None:
    """Raise a UserError where float32 would be measured under tf32's name."""
    if device.type != "cuda":
        raise UserError(f"{TF32} is what a GPU's tensor cores multiply; {device} has none")
    capability = torch.cuda.get_device_capability(device)
    if capability < FIRST_WITH_TF32:
        major, minor = capability
        raise UserError(
            f"{TF32} needs a GPU of compute capability 8.0; {device} has {major}.{minor}"
        )
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise UserError(f"NVIDIA_TF32_OVERRIDE=0 forbids what {TF32} measures: unset it")


@dataclass(frozen=True)
class Plan:
    """What a run is to measure.

    Attributes:
        device: as `check_device` names it, whatever name it was given by.
    """

    suite: Suite
    workloads: tuple[Workload, ...]
    implementations: tuple[Reference, ...]
    broken: tuple[Broken, ...]
    dtypes: tuple[str, ...]
    device: str
    settings: Settings

    def __post_init__(self) -> None:
        if not self.workloads:
            raise UserError(f"no workload of suite {self.suite.name!r} matches")
        if not self.implementations:
            raise UserError("no implementation to measure")
        for name in self.dtypes:
            torch_dtype(name)
        device = check_device(self.device)
        if TF32 in self.dtypes:
            _check_tf32(device)
        object.__setattr__(self, "device", str(device))  # a cell's key has it
