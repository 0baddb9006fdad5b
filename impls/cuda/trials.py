"""Which kernels are being tried, on disk: one that hangs is known to the processes that come next.

A kernel that hangs leaves its process no chance to say so: somebody kills that. So a mark names what is
tried before it is launched, and it is taken away when the trial has ended, whatever came of it. Marks
lie in a file for each kernel that the process keeps locked, and the system drops the lock when the
process ends: what lies in a file that nobody holds is of dead processes, on whichever machine they ran
and whoever has their numbers now. Marks outlive processes, not a power failure. Where files cannot
be written or locked there are none.

One death proves nothing: Ctrl-C, a full memory and the watcher for silence end a process by the same
signal. So a kernel is blamed when two processes died while they tried it. What ended well when it was
tried again does not count any more, and trials take milliseconds, as kernels are compiled before, so
that hardly anybody is killed in two of the same kernel by chance; one that hangs costs two processes.
Processes that try a kernel at once leave the first one's mark only, for one Ctrl-C ends them all.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST_DEATHS = 1
"""Processes that may die while they try a kernel, for reasons of their own."""
LONGEST_FILE_BYTES = 2**16


class Trials:
    """The marks of kernels, beside the file of choices that they belong to.

    Args:
        folder: of the marks.
        name: that their names begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    @contextmanager
    def of(self, kernel: str, what: str) -> Iterator[None]:
        """Mark a kernel as being tried, as long as the context lasts.

        Args:
            kernel: that may hang.
            what: is tried, in words, on one line.
        """
        descriptor = self._begin(kernel, what)
        try:
            yield
        finally:
            if descriptor is not None:
                self._end(descriptor, kernel, what)

    def deaths(self, kernel: str) -> int:
        """How many processes died while they tried a kernel; 0 where one is trying it now."""
        try:
            descriptor = os.open(self._path(kernel), os.O_RDWR)
        except OSError:
            return 0
        try:
            _lock(descriptor)
            return len(_read(descriptor))
        except OSError:
            return 0
        finally:
            os.close(descriptor)

    def forget(self, kernel: str) -> None:
        """Take all marks of a kernel away."""
        with suppress(OSError):
            self._path(kernel).unlink(missing_ok=True)

    def _begin(self, kernel: str, what: str) -> int | None:
        """Leave a mark in a locked file; None where another process holds it, or it is not possible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path(kernel), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError:
            return None
        try:
            _lock(descriptor)
            os.write(descriptor, f"{what}\n".encode())
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def _end(self, descriptor: int, kernel: str, what: str) -> None:
        """Take the mark away, and those that others died with at the very same."""
        try:
            with suppress(OSError):
                left = [each for each in _read(descriptor) if each != what]
                if left:
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, "".join(f"{each}\n" for each in left).encode())
                else:
                    self.forget(kernel)
        finally:
            os.close(descriptor)

    def _path(self, kernel: str) -> Path:
        words = re.sub(r"[^A-Za-z0-9.]+", "_", kernel)
        return self.folder / f"{self.name}-{words}.trial"


def _lock(descriptor: int) -> None:
    """Lock a file of marks.

    Raises:
        OSError: if another process holds it or has just taken it away, or nothing can be locked here.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not os.fstat(descriptor).st_nlink:
        raise FileNotFoundError


def _read(descriptor: int) -> list[str]:
    return os.pread(descriptor, LONGEST_FILE_BYTES, 0).decode(errors="replace").splitlines()
