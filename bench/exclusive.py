"""One measuring run at a time on a processor or GPU: two would measure each other.

Every processor that a run may use, and every GPU, has a lock file in the system's temporary folder,
which the operating system frees when its holder ends, however it ends. Runs on disjoint processors
(`taskset`) go side by side.
"""

import fcntl
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench.errors import UserError

POLL_SECONDS = 0.5
LONGEST_HOLDER = 300
LOCKS = "SPARSEBENCH_LOCKS"
_HELD: set[str] = set()
"""What this process holds already, and may use again."""


@contextmanager
def exclusive(
    names: list[str],
    *,
    wait: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    folder: Path | None = None,
    option: str = "--wait",
) -> Iterator[None]:
    """Hold what is about to be measured, for as long as the context lasts.

    Args:
        names: of processors and GPUs, as `resources` gives them.
        wait: until whoever holds one of them ends; otherwise that is an error.
        tell: told once whom is waited for.
        folder: of the lock files; by default what `SPARSEBENCH_LOCKS` names, or the system's temporary
            folder.
        option: by which the user can ask to wait.

    Raises:
        UserError: if another run holds one of them and there is no waiting.
    """
    with ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_held(name, folder or _folder(), wait, tell, option))
        yield


def _folder() -> Path:
    return Path(os.environ.get(LOCKS) or tempfile.gettempdir())


def resources(device: str) -> list[str]:
    """Names of what a run on a device has to itself: its processors, and the GPU if there is one."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = affinity(0) if affinity else range(os.cpu_count() or 1)
    names = [f"processor-{number}" for number in processors]
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415

        names.append(f"gpu-{torch.cuda.get_device_properties(torch.device(device)).uuid}")
    return names


@contextmanager
def _held(
    name: str, folder: Path, wait: bool, tell: Callable[[str], None], option: str
) -> Iterator[None]:
    if name in _HELD:
        yield
        return
    path = folder / f"sparsebench-{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock"
    descriptor = _open(path)
    try:
        is_told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = (
                    f"{name.replace('-', ' ', 1)} is in use by another measurement, {_holder(path)}"
                )
                if not wait:
                    raise UserError(
                        f"{holder}; `{option}` waits for it, and taskset picks other processors"
                    ) from None
                if not is_told:
                    tell(f"waiting: {holder}")
                    is_told = True
                time.sleep(POLL_SECONDS)
        with suppress(OSError):  # another user's file can be locked, but not written to
            os.ftruncate(descriptor, 0)
            os.pwrite(
                descriptor, f"{os.getpid()} {' '.join(sys.argv)}\n".encode(errors="replace"), 0
            )
        _HELD.add(name)
        yield
    finally:
        _HELD.discard(name)
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock file that any user may have made.

    Raises:
        UserError: if that is not possible.
    """
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except PermissionError:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"cannot open the lock {path}: {error.strerror}") from error
    return descriptor


def _holder(path: Path) -> str:
    """Who holds a lock, as it wrote itself."""
    with suppress(OSError):
        process, _, command = path.read_text(errors="replace").strip().partition(" ")
        if process:
            return f"process {process} ({ascii(command[:LONGEST_HOLDER])[1:-1]})"
    return "another run"
