"""Writing files whole or not at all, so that no reader, and no later run, finds half of one."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What linking fails with on file systems that have no hard links, as on many sticks and shares."""
LONGEST_BEGINNING = 50
"""Characters of a file's name that its temporary name begins with: a name has 255 bytes at most."""


def write_once(content: bytes, target: Path) -> None:
    """Write a new file, which is there completely or not at all, even after a power loss.

    Raises:
        FileExistsError: if the target exists; it stays as it is.
        OSError: if it cannot be written.
    """
    temporary = _neighbour(target)
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _link(temporary, target)
    finally:
        with suppress(OSError):  # of a disk that failed, say; what came first is what to tell
            temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


@contextmanager
def written_whole(path: Path, *, lasting: bool = False) -> Iterator[BinaryIO]:
    """Open a neighbour of `path` for writing; it takes the path's place only if nothing fails.

    Args:
        path: of the file; its folder is made where it is missing.
        lasting: whether what is written, and its name, survive a power loss.

    Raises:
        OSError: if the folder cannot be made, or the file written.
    """
    make_folder(path.parent)
    unfinished = _neighbour(path)
    try:
        with unfinished.open("xb") as stream:
            yield stream
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    if lasting:
        sync_folder(path.parent)


def _neighbour(path: Path) -> Path:
    """A name beside a file that nobody uses, and that is not too long where the file's is not.

    It holds no process number: a container's are the same every time, and a kill may have left a
    file behind.
    """
    return path.with_name(f".{path.name[:LONGEST_BEGINNING]}.{uuid.uuid4().hex[:12]}.tmp")


def _link(temporary: Path, target: Path) -> None:
    """Give a file its name, which must be free."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        temporary.rename(target)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where missing, and make them survive a power loss."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make a new directory entry survive a power loss, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
