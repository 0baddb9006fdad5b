"""Unpacking RAR, which one publisher uses and Python cannot read, with whichever tool is there."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import DataError
from suites.data.archives import MAGIC_BYTES, RAR

TIMEOUT_SECONDS = 600

# Each tool, and its arguments before the archive and before the folder.
UNPACKERS = {
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
    "unar": ("-quiet", "-output-directory", "{folder}", "{archive}"),
    "7zz": ("x", "-y", "-o{folder}", "{archive}"),
    "7z": ("x", "-y", "-o{folder}", "{archive}"),
    "unrar": ("x", "-y", "-idq", "{archive}", "{folder}/"),
}


def is_rar(path: Path) -> bool:
    """Whether a path is a RAR file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(MAGIC_BYTES) == RAR


def unpacker(archive: str) -> str:
    """Return the name of an installed tool that unpacks RAR.

    Raises:
        DataError: if there is none; the message names the archive.
    """
    for tool in UNPACKERS:
        if shutil.which(tool):
            return tool
    raise DataError(
        f"{archive} is a RAR archive: install one of {', '.join(UNPACKERS)}, or unpack it "
        f"elsewhere and give the folder to `sparsebench data add`"
    )


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack a RAR file into a folder that lasts as long as the context.

    Raises:
        DataError: if no tool for it is installed, or the one that is fails.
    """
    found = unpacker(archive.name)
    with tempfile.TemporaryDirectory(prefix="sparsebench-") as folder:
        arguments = [
            argument.format(archive=archive.resolve(), folder=folder)
            for argument in UNPACKERS[found]
        ]
        try:
            subprocess.run(  # noqa: S603 - the tool is one of ours, the archive is one argument
                [shutil.which(found) or found, *arguments],
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise DataError(f"{found} could not unpack {archive.name}: {error}") from error
        yield Path(folder)
