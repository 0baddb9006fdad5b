"""Files that commands write: whole or not at all, and never over what is not ours."""

import stat
import sys
from pathlib import Path

from bench.errors import UserError
from bench.files import written_whole

MARKER_BYTES = 4096
"""How far into a file its marker is looked for."""


def refuse_foreign(target: Path, marker: bytes | None, kind: str) -> None:
    """Make sure that only a file of ours is overwritten.

    Args:
        target: what is to be written.
        marker: what such a file has near its start; None for kinds that have none.
        kind: what such a file is called.

    Raises:
        UserError: if the target is a folder, something else, or cannot be read.
    """
    if target.is_dir():
        raise UserError(f"{target} is a folder: name a file, such as {target / 'report.html'}")
    if _is_special(target):
        return
    try:
        with target.open("rb") as stream:
            head = stream.read(MARKER_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"cannot access {target}: {error.strerror}") from error
    if head and (marker is None or marker not in head):
        raise UserError(
            f"{target} exists and is not a sparsebench {kind}: name another file with -o"
        )


def write(target: Path, content: str | bytes) -> None:
    """Write a file completely or not at all, where a link leads; into a pipe or a device, directly.

    Args:
        target: the file.
        content: of it; text becomes UTF-8.

    Raises:
        UserError: if the folder is missing or cannot be written to.
    """
    content = content.encode() if isinstance(content, str) else content
    if _is_special(target):
        _write_through(target, content)
        return
    place = target.resolve() if target.is_symlink() else target
    if not place.parent.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {place.parent}")
    try:
        with written_whole(place) as stream:
            stream.write(content)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error


def say_written(target: Path) -> None:
    """Say where a file was written; on standard error of what went into a pipe, which may be ours."""
    print(f"written: {target}", file=sys.stderr if _is_special(target) else sys.stdout)


def _is_special(target: Path) -> bool:
    """Whether it is there, or a link to it, and neither a file nor a folder: a pipe, a terminal."""
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(target: Path, content: bytes) -> None:
    sys.stdout.flush()  # which may lead to the same place
    try:
        with target.open("wb", buffering=0) as stream:
            left = memoryview(content)
            while left:
                left = left[stream.write(left) or 0 :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
