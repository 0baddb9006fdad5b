"""Notices what one implementation does to the others that share its worker process.

A process holds much that belongs to all: torch's number of threads, its default element type, the
connection to the engine, memory. Whoever changes it while being measured is left out, with the
reason, and it is put back before the next one is at work. Looking takes some 10 microseconds a visit.
"""

import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch

from bench.dtypes import matmul_precision, set_matmul_precision
from bench.measure.memory import freed_bytes

KEPT_SHARE = 0.25
"""An implementation that keeps more than this share of the memory that the process may take fails, as
it leaves the others too little."""
SETTLING_VISITS = 2
"""What an implementation keeps from its first visits is not counted: these are caches, its own and
the C library's."""
_DATA_FIELD = 5
_LONGEST_LINE = 256

CPU = torch.device("cpu")


def _switch_onednn(enabled: bool) -> None:  # one of `SETTINGS`
    torch.backends.mkldnn.set_flags(enabled)


Setting = tuple[str, Callable[[], Any], Callable[[Any], Any]]
SETTINGS: tuple[Setting, ...] = (
    ("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    ("torch's default element type", torch.get_default_dtype, torch.set_default_dtype),
    ("whether torch records gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    (
        "whether torch is to be deterministic",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    (
        "torch's precision of matrix products",
        matmul_precision,
        set_matmul_precision,
    ),
    ("whether oneDNN computes", lambda: torch.backends.mkldnn.enabled, _switch_onednn),
    ("whether autograd looks for anomalies", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    (
        "whether torch chooses element types itself",
        lambda: torch.is_autocast_enabled("cpu"),
        lambda chooses: torch.set_autocast_enabled("cpu", chooses),
    ),
    (
        "the device on which torch makes tensors",
        torch.get_default_device,
        lambda _: torch.set_default_device(None),
    ),
    ("who is told of every call", sys.getprofile, sys.setprofile),
    (
        "the timer that ends the process",
        lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        lambda _: signal.setitimer(signal.ITIMER_REAL, 0),
    ),
)


SETTINGS_OF_GPUS: tuple[Setting, ...] = (
    (
        "whether torch chooses element types itself on a GPU",
        lambda: torch.is_autocast_enabled("cuda"),
        lambda chooses: torch.set_autocast_enabled("cuda", chooses),
    ),
    (
        "whether cuDNN computes",
        lambda: torch.backends.cudnn.enabled,
        lambda computes: setattr(torch.backends.cudnn, "enabled", computes),
    ),
    (
        "whether cuDNN is to be deterministic",
        lambda: torch.backends.cudnn.deterministic,
        lambda is_so: setattr(torch.backends.cudnn, "deterministic", is_so),
    ),
    (
        "whether convolutions are rounded to TF32",
        lambda: torch.backends.cudnn.allow_tf32,
        lambda allowed: setattr(torch.backends.cudnn, "allow_tf32", allowed),
    ),
    (
        "whether cuDNN tries out which algorithm is fastest",
        lambda: torch.backends.cudnn.benchmark,
        lambda tries: setattr(torch.backends.cudnn, "benchmark", tries),
    ),
)


class TamperedError(Exception):
    """Something that belongs to all was changed."""


class KeptMemoryError(MemoryError):
    """Memory is taken at every visit and never given back."""


class DisconnectedError(BaseException):
    """The connection to the engine is gone; no handler of ordinary exceptions may hide that."""


class Guard:
    """What belongs to all, as it is to be.

    Args:
        connection: descriptor of the socket to the engine; none in tests.
        device: that is measured on.
    """

    def __init__(self, connection: int | None = None, device: torch.device = CPU) -> None:
        self._settings = SETTINGS + (SETTINGS_OF_GPUS if device.type == "cuda" else ())
        self._connection = connection
        self._inode = None if connection is None else os.fstat(connection).st_ino
        self._expected: list[Any] = []
        self.expect_these()
        self._memory = _data_bytes()
        self._kept: dict[str, int] = {}
        self._visits: dict[str, int] = {}
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
        free = limit - self._memory if limit != resource.RLIM_INFINITY else math.inf
        self._most_kept = KEPT_SHARE * free

    def expect_these(self) -> None:
        """Take the settings of this moment for those that belong to all."""
        self._expected = [read() for _, read, _ in self._settings]

    def settle(self) -> None:
        """Put back what loading a library or a first call changed; that becomes a fault only later.

        Memory that was taken so far is held against nobody: it would be against whoever comes next.

        Raises:
            DisconnectedError: if the connection to the engine was closed.
        """
        self._check_connection()
        self.put_back()
        self._memory = _data_bytes()

    def put_back(self) -> list[str]:
        """Put settings back that were changed; return which, in words."""
        changed = []
        for (what, read, put), expected in zip(self._settings, self._expected, strict=True):
            found = read()
            if found != expected:
                put(expected)
                changed.append(f"{what} from {expected} to {found}")
        return changed

    def check(self, name: str) -> None:
        """Look at everything after an implementation was at work, and put back what it changed.

        Raises:
            TamperedError: if it changed what belongs to all.
            KeptMemoryError: if it keeps taking memory.
            DisconnectedError: if it closed the connection to the engine.
        """
        self._check_connection()
        changed = self.put_back()
        if changed:
            raise TamperedError(f"it changed {', '.join(changed)}, which belongs to all")
        self._check_memory(name)

    def _check_connection(self) -> None:
        if self._connection is None:
            return
        inode = None
        with suppress(OSError):
            inode = os.fstat(self._connection).st_ino
        if inode != self._inode:
            raise DisconnectedError("it closed a file descriptor that was not its own")

    def _check_memory(self, name: str) -> None:
        now = _data_bytes()
        taken, self._memory = now - self._memory, now
        self._visits[name] = self._visits.get(name, 0) + 1
        if self._visits[name] <= SETTLING_VISITS:
            return
        self._kept[name] = max(0, self._kept.get(name, 0) + taken)
        if self._kept[name] <= self._most_kept:
            return
        # What was freed may lie in between, where the next large block did not fit.
        kept = self._kept[name] - freed_bytes()
        if kept > self._most_kept:
            raise KeptMemoryError(
                f"{kept / 2**20:,.0f} MiB more than at first are kept after "
                f"{self._visits[name]} visits"
            )


def _data_bytes() -> int:
    """What counts against the limit on memory; 0 where the system cannot say."""
    try:
        fields = os.pread(_opened(os.getpid()), _LONGEST_LINE, 0).split()
        return int(fields[_DATA_FIELD]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


@cache
def _opened(process: int) -> int:
    """The descriptor of this process's own file: opening it anew takes far longer than reading it."""
    return os.open(f"/proc/{process}/statm", os.O_RDONLY | os.O_CLOEXEC)
