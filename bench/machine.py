"""What machine this is, and what casts doubt on its times."""

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random

import psutil
import torch
from threadpoolctl import threadpool_info

from bench.gpu import gpu_facts, gpu_use
from bench.results.schema import Machine

PACKAGES = ("torch", "numpy", "scipy", "sparsebench")
CPU_INFO = Path("/proc/cpuinfo")
ARM_NUMBERS = ("CPU implementer", "CPU part", "CPU variant")
BUSY = 0.3
"""Other load, in processors' worth, from which a run's times are doubted."""
BUSY_GPU = 0.05
"""The same of a GPU, in parts of the time."""
LOOK_SECONDS = 0.1
MEASURED = "the fastest algorithm is looked for, TF32 off but in tf32"


def describe_machine(device: torch.device, threads: int, cudnn: str = MEASURED) -> Machine:
    """Record processor, memory, device, libraries and settings, and the doubts that they raise.

    Args:
        device: what is used.
        threads: of each worker.
        cudnn: how cuDNN is set where a GPU is used, in words; by default, as workers set it.
    """
    model = _processor()
    cores = psutil.cpu_count(logical=False) or 1
    logical = psutil.cpu_count() or 1
    facts = {
        "processor": model,
        "cores": f"{cores} ({logical} logical)",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": f"{threads} for torch, OpenMP, OpenBLAS and MKL",
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "load before the run": f"{_load():.2f}",
        "frequency governor": _governor(),
        "libraries": "; ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "matrix precision": f"float32 as {torch.get_float32_matmul_precision()}",
    }
    name = f"{model}, {_count(logical, 'processor')}, {_count(threads, 'thread')}"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}; {name}"
        facts |= {
            "gpu": f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB",
            "cuda": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
            "cudnn settings": cudnn,
            **gpu_facts(device),
        }
    return Machine(name, facts, doubts=tuple(_doubts(threads, logical, gpu_use(device))))


def idle_processors(count: int, chance: Random) -> tuple[int, ...]:
    """So many processors that others use least now, of those that this process may use.

    Args:
        count: how many.
        chance: decides between those that are used alike.

    Returns:
        Their numbers, ascending; none where there is no choice, or the system pins no process.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if count >= len(allowed):
        return ()
    busy = dict(enumerate(psutil.cpu_percent(interval=LOOK_SECONDS, percpu=True)))
    tenths = {number: round(busy.get(number, 0.0) / 10) for number in allowed}
    chosen = sorted(allowed, key=lambda number: (tenths[number], chance.random()))[:count]
    return tuple(sorted(chosen))


def busy_seconds() -> float:
    """Seconds that all processors together were busy since the machine started, for whomever."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # What a virtual machine's guests use is in the times of whoever runs them, too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guests)


def thread_pools() -> str:
    """Name the thread pools of the libraries in this process, with their numbers of threads."""
    pools = [
        f"{pool['internal_api']} {pool['version'] or ''}".strip() + f": {pool['num_threads']}"
        for pool in threadpool_info()
    ]
    return "; ".join(sorted(pools))


def _doubts(threads: int, logical: int, gpu: float | None) -> list[str]:
    found = []
    if threads > logical:
        found.append(f"{threads} threads on {logical} processors: they wait for each other")
    other = sum(psutil.cpu_percent(interval=0.2, percpu=True)) / 100
    if other > BUSY:
        found.append(f"other programs used {other:.1f} processors when the run started")
    if gpu is not None and gpu > BUSY_GPU:
        found.append(
            f"other programs used the GPU {100 * gpu:.0f} % of the time when the run started"
        )
    governor = _governor()
    if governor not in {"performance", "not shown by the system"}:
        found.append(f"frequency governor {governor!r}: the clock may change while measuring")
    return found


def _processor() -> str:
    """The processor's model; on ARM, where the kernel names none, the numbers of maker and part."""
    told: dict[str, str] = {}
    with suppress(OSError):
        for line in CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    if "model name" in told:
        return told["model name"]
    numbers = [f"{name.lower()} {told[name]}" for name in ARM_NUMBERS if name in told]
    return ", ".join([platform.processor() or platform.machine(), *numbers])


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else "not shown by the system"


def _load() -> float:
    return os.getloadavg()[0]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
