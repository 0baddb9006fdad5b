"""A worker's sign of life, in memory that outlives it: who is at work, and that it goes on."""

import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LAYOUT = struct.Struct("<qii")
NOBODY = -1
BEAT_SECONDS = 1.0
LONGEST_SECONDS = 300.0
"""For how long a thread shows signs of life for code that may take long, and shows none itself."""


class Pulse:
    """A counter, and the numbers of the implementation and phase at work, in a mapped file.

    Writing costs less than a microsecond, so it may be done between samples; whoever reads it after
    the worker died learns whose code was running.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _LAYOUT.size)
        self._count = 0

    @classmethod
    def create(cls, path: Path) -> "Pulse":
        """Make the file."""
        path.write_bytes(_LAYOUT.pack(0, NOBODY, NOBODY))
        return cls(path)

    def beat(self, implementation: int, phase: int) -> None:
        """Say who is at work now."""
        self._count += 1
        self._map[:] = _LAYOUT.pack(self._count, implementation, phase)

    def read(self) -> tuple[int, int, int]:
        """Counter, implementation, phase."""
        count, implementation, phase = _LAYOUT.unpack(self._map[:])
        return count, implementation, phase

    def close(self) -> None:
        """Unmap."""
        self._map.close()
        self._file.close()


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Show signs of life from a thread while a block runs, but not for ever."""
    stop = threading.Event()

    def keep_beating() -> None:
        end = time.monotonic() + LONGEST_SECONDS
        while not stop.wait(BEAT_SECONDS) and time.monotonic() < end:
            beat()

    thread = threading.Thread(target=keep_beating, name="shows signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
