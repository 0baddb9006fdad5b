"""Unpacking RAR, which one publisher uses and Python cannot read, with whichever tool is there."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import DataError
from suites.data.archives import LIMITS, MAGIC_BYTES, RAR

TIMEOUT_SECONDS = 600
LARGEST_BYTES = LIMITS.total_bytes
POLL_SECONDS = 0.05

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
        DataError: if no tool for it is installed, the one that is fails, or more comes out than any
            data set has.
    """
    found = unpacker(archive.name)
    with tempfile.TemporaryDirectory(prefix="sparsebench-") as folder:
        arguments = [
            argument.format(archive=archive.resolve(), folder=folder)
            for argument in UNPACKERS[found]
        ]
        try:
            with subprocess.Popen(  # noqa: S603 - the tool is one of ours, the archive is one argument
                [shutil.which(found) or found, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                fault = _fault(process, Path(folder))
        except OSError as error:
            raise DataError(f"{found} could not unpack {archive.name}: {error}") from error
        if fault:
            raise DataError(f"{found} could not unpack {archive.name}: {fault}")
        yield Path(folder)


def _fault(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    """Wait for an unpacker, which is ended when it takes too long or writes too much."""
    end = time.monotonic() + TIMEOUT_SECONDS
    fault = ""
    while not fault and process.poll() is None:
        time.sleep(POLL_SECONDS)
        if _size(folder) > LARGEST_BYTES:
            fault = f"more than {LARGEST_BYTES:,} bytes came out"
        elif time.monotonic() > end:
            fault = f"it was not done within {TIMEOUT_SECONDS} seconds"
    if fault:
        process.kill()
    elif process.returncode:
        fault = f"exit status {process.returncode}"
    elif _size(folder) > LARGEST_BYTES:
        fault = f"more than {LARGEST_BYTES:,} bytes came out"
    return fault


def _size(folder: Path) -> int:
    """Bytes of all files in a folder, which may be changing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total
