"""A GPU's clocks, temperature and limits, as NVIDIA's management library (nvidia-ml-py) tells them.

The library opens no context on the GPU. Without it, and on a CPU, everything here is empty. Of a MIG
instance, one of the parts that a GPU is split into, only the driver is told: clocks and limits are
those of the whole, are not permitted to whoever has a part, and follow what the others do.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from bench.results.schema import GpuConditions

SECONDS = 1.0
"""Between two looks at a GPU at work."""
IDLE = 0x1
"""Of NVML's reasons for a clock below the highest: nothing is to do."""
SLOWDOWNS = {
    0x4: "the power limit",
    0x8: "the hardware's slowdown",
    0x10: "synchronised boost",
    0x20: "the driver's thermal limit",
    0x40: "the hardware's thermal limit",
    0x80: "the power brake",
    0x200: "the board's limit",
    0x400: "reliability",
}
"""The others, in words, without what a user has set."""
_CLOCK_SM, _CLOCK_MEMORY, _TEMPERATURE_GPU = 1, 2, 0
_MILLIWATTS = 1000
NOT_OF_A_PART = "not available of a MIG instance"


@dataclass(frozen=True)
class Gpu:
    """A GPU that the library knows.

    Attributes:
        is_part: whether it is a MIG instance, of which nothing is told.
    """

    library: Any
    handle: Any
    is_part: bool = False

    def ask(self, function: str, *arguments: int) -> int | None:
        """Call one of the library's functions of a GPU; None where it cannot answer."""
        if self.is_part:
            return None
        try:
            return int(getattr(self.library, function)(self.handle, *arguments))
        except (self.library.NVMLError, AttributeError):
            return None


def find_gpu(device: torch.device) -> Gpu | None:
    """Find a device, whatever number CUDA_VISIBLE_DEVICES gives it; None where nobody tells of it."""
    if device.type != "cuda":
        return None
    try:
        import pynvml  # noqa: PLC0415
    except ImportError:
        return None
    identity = torch.cuda.get_device_properties(device).uuid
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    with suppress(pynvml.NVMLError):
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{identity}")
        return Gpu(pynvml, handle, _is_split(pynvml, handle))
    with suppress(pynvml.NVMLError):
        return Gpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{identity}"), is_part=True)
    return None


def _is_split(library: Any, handle: Any) -> bool:  # noqa: ANN401  # the library has no types
    """Whether nobody can have a GPU whole: older CUDA gives its parts the identity of the whole."""
    try:
        current, _ = library.nvmlDeviceGetMigMode(handle)
    except (library.NVMLError, AttributeError):
        return False
    return bool(current)


def gpu_facts(device: torch.device) -> dict[str, str]:
    """Driver, clocks, power limit and temperature of a GPU, in words, by topic."""
    gpu = find_gpu(device)
    if gpu is None:
        return {}
    clocks = {
        "now": gpu.ask("nvmlDeviceGetClockInfo", _CLOCK_SM),
        "at most": gpu.ask("nvmlDeviceGetMaxClockInfo", _CLOCK_SM),
        "set for applications": gpu.ask("nvmlDeviceGetApplicationsClock", _CLOCK_SM),
        "of the memory": gpu.ask("nvmlDeviceGetClockInfo", _CLOCK_MEMORY),
    }
    told = [f"{clock:,} MHz {what}" for what, clock in clocks.items() if clock is not None]
    limit = gpu.ask("nvmlDeviceGetEnforcedPowerLimit")
    temperature = gpu.ask("nvmlDeviceGetTemperature", _TEMPERATURE_GPU)
    facts = {
        "gpu driver": _driver(gpu),
        "gpu clocks": ", ".join(told),
        "gpu power limit": "" if limit is None else f"{limit / _MILLIWATTS:,.0f} W",
        "gpu before the run": "" if temperature is None else f"{temperature} °C",
    }
    untold = NOT_OF_A_PART if gpu.is_part else ""
    return {topic: fact or untold for topic, fact in facts.items() if fact or untold}


def gpu_use(device: torch.device) -> float | None:
    """Share of the last moment in which kernels ran on a GPU, whoever's; None where nobody tells."""
    gpu = find_gpu(device)
    if gpu is None or gpu.is_part:
        return None
    try:
        return float(gpu.library.nvmlDeviceGetUtilizationRates(gpu.handle).gpu) / 100
    except (gpu.library.NVMLError, AttributeError):
        return None


@dataclass(frozen=True)
class Look:
    """A GPU at one moment; None for what it does not tell.

    Attributes:
        megahertz: clock of its multiprocessors.
        reasons: why that is not the highest, as NVML's bits.
    """

    megahertz: int | None
    celsius: int | None
    reasons: int | None


def look_at(gpu: Gpu) -> Look:
    """See how a GPU fares now."""
    return Look(
        gpu.ask("nvmlDeviceGetClockInfo", _CLOCK_SM),
        gpu.ask("nvmlDeviceGetTemperature", _TEMPERATURE_GPU),
        _reasons(gpu),
    )


def _reasons(gpu: Gpu) -> int | None:
    """Why the clock is lowered, by the call of newer drivers or that of older ones."""
    found = gpu.ask("nvmlDeviceGetCurrentClocksEventReasons")
    return gpu.ask("nvmlDeviceGetCurrentClocksThrottleReasons") if found is None else found


@contextmanager
def watched(device: torch.device) -> Iterator[list[Look]]:
    """Look at a GPU first, last, and once a second between, from a thread of its own.

    The list is complete when the context ends, and empty where there is no GPU to look at.
    """
    looks: list[Look] = []
    gpu = find_gpu(device)
    if gpu is None or gpu.is_part:
        yield looks
        return
    stop = threading.Event()

    def look_on() -> None:
        looks.append(look_at(gpu))
        while not stop.wait(SECONDS):
            looks.append(look_at(gpu))
        looks.append(look_at(gpu))

    thread = threading.Thread(target=look_on, name="looks at the GPU", daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        stop.set()
        thread.join()


def conditions(looks: Sequence[Look]) -> GpuConditions | None:
    """Sum up what was seen; None where there was nothing to see.

    Clocks and reasons are those of looks that found the GPU at work: an idle one lowers its clock, and
    one that gives no reasons may be idle.
    """
    if not looks:
        return None
    busy = [look for look in looks if look.reasons is not None and not look.reasons & IDLE]
    clocks = [look.megahertz for look in busy if look.megahertz is not None]
    heat = [look.celsius for look in looks if look.celsius is not None]
    slowed = Counter(
        words for look in busy for bit, words in SLOWDOWNS.items() if (look.reasons or 0) & bit
    )
    return GpuConditions(
        looks=len(busy),
        megahertz=(min(clocks), max(clocks)) if clocks else None,
        celsius=(heat[0], heat[-1]) if heat else None,
        slowed=dict(slowed),
    )


def _driver(gpu: Gpu) -> str:
    try:
        version = gpu.library.nvmlSystemGetDriverVersion()
    except gpu.library.NVMLError:
        return ""
    return version.decode() if isinstance(version, bytes) else str(version)
