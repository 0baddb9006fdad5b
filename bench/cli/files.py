"""Files that commands write: whole or not at all, and never over what is not ours."""

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


def write(target: Path, text: str) -> None:
    """Write a file completely or not at all.

    Raises:
        UserError: if the folder is missing or cannot be written to.
    """
    if not target.parent.is_dir():
        raise UserError(f"cannot write {target}: there is no folder {target.parent}")
    try:
        with written_whole(target) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
