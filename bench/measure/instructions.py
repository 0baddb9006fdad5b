"""Instructions of a call, counted by the processor: a witness that no other load disturbs.

Through Linux's perf events, where the machine has a counter and lets a process read its own; most
virtual machines have none. Only this thread's instructions outside of the kernel are counted.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from bench.measure.contestant import Contestant

CALLS = 3
"""So many calls are counted, and the fewest instructions kept: a first one does more."""
SYSCALL = {"x86_64": 298, "aarch64": 241}
"""Number of perf_event_open."""
HARDWARE, INSTRUCTIONS = 0, 1
ATTRIBUTES_BYTES = 128
DISABLED, EXCLUDE_KERNEL, EXCLUDE_HYPERVISOR = 1 << 0, 1 << 5, 1 << 6
ENABLE, DISABLE, RESET = 0x2400, 0x2401, 0x2403
"""Requests to a counter, through ioctl."""


class Counter:
    """A counter of events of the calling thread; use it as a context.

    Args:
        kind, event: perf's type and configuration; instructions, by default.

    Raises:
        OSError: if the machine has no such counter, or its use is not allowed.
    """

    def __init__(self, kind: int = HARDWARE, event: int = INSTRUCTIONS) -> None:
        number = SYSCALL.get(platform.machine())
        if sys.platform != "linux" or number is None:
            raise OSError("perf events are Linux's, on x86-64 or ARM64")
        flags = DISABLED | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR
        attributes = struct.pack("=IIQQQQQ", kind, ATTRIBUTES_BYTES, event, 0, 0, 0, flags)
        attributes = attributes.ljust(ATTRIBUTES_BYTES, b"\0")
        library = ctypes.CDLL(None, use_errno=True)
        this_thread, any_processor, no_group, no_flags = 0, -1, -1, 0
        self._descriptor = int(
            library.syscall(
                ctypes.c_long(number),
                ctypes.c_char_p(attributes),
                ctypes.c_int(this_thread),
                ctypes.c_int(any_processor),
                ctypes.c_int(no_group),
                ctypes.c_ulong(no_flags),
            )
        )
        if self._descriptor < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def count(self, call: Callable[[], object]) -> int:
        """Events during a call."""
        import fcntl  # noqa: PLC0415  # there is none on Windows

        fcntl.ioctl(self._descriptor, RESET, 0)
        fcntl.ioctl(self._descriptor, ENABLE, 0)
        try:
            call()
        finally:
            fcntl.ioctl(self._descriptor, DISABLE, 0)
        return int.from_bytes(os.read(self._descriptor, 8), sys.byteorder)


def instructions(
    contestants: list[Contestant],
    beat: Callable[[int], None],
    open_counter: Callable[[], Counter] = Counter,
) -> dict[str, int]:
    """Count each contestant's instructions of a call; nobody's where the machine cannot.

    Args:
        contestants: who takes part; one whose call raises gets no count.
        beat: told the number of the implementation at work.
        open_counter: opens what counts.
    """
    found: dict[str, int] = {}
    with suppress(OSError), open_counter() as counter:
        for contestant in contestants:
            beat(contestant.number)
            with suppress(Exception):  # its times stand without it
                found[contestant.name] = min(_count(counter, contestant) for _ in range(CALLS))
    return found


def _count(counter: Counter, contestant: Contestant) -> int:
    argument = contestant.step.prepare()
    return counter.count(lambda: contestant.step.call(argument))
