"""Reading archives that nobody vouches for: member by member, in memory, within limits.

Nothing is ever unpacked to disk. A member that leaves the archive, a link or a device condemns the
whole archive, wanted or not; sizes are counted as bytes come out, never believed from a header.
"""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Protocol

from bench.errors import DataError

MAGIC_BYTES = 4
GZIP, ZIP, RAR = b"\x1f\x8b", b"PK", b"Rar!"

# Whatever the standard library raises on an archive that is cut short or made up.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    NotImplementedError,  # a zip's compression that Python does not have
    RuntimeError,  # an encrypted zip
    ValueError,
)


Wanted = Callable[[str, int], bool]
"""Whether a member is wanted, by its name with forward slashes and the size that it claims."""


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        members: number of members, folders included.
        member_bytes: size of one member that is read into memory.
        total_bytes: size of everything that comes out.
    """

    members: int = 50_000
    member_bytes: int = 2**25
    total_bytes: int = 2**29


LIMITS = Limits()


def members(
    path: Path, wanted: Wanted, limits: Limits = LIMITS, nested: str = ""
) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of the wanted files of a folder, tar, tar.gz or zip.

    Args:
        path: folder or archive.
        wanted: says which members; the others are not read.
        limits: how much may come out.
        nested: last part of the name of a tar.gz inside a zip whose members count as the zip's.

    Raises:
        DataError: if it is no such thing, broken, beyond the limits or dangerous; the message
            names the member.
    """
    budget = _Budget(path.name, limits)
    if path.is_dir():
        yield from _folder(path, wanted, budget)
        return
    try:
        with path.open("rb") as file:
            magic = file.read(MAGIC_BYTES)
            file.seek(0)
            if magic.startswith(ZIP):
                yield from _zip(file, wanted, budget, nested)
            elif magic.startswith(GZIP):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield from _tar(unpacked, wanted, budget)
            else:
                yield from _tar(file, wanted, budget)
    except BROKEN as error:
        raise DataError(
            f"{path.name} cannot be read as tar, tar.gz or zip ({error or type(error).__name__}); "
            f"it may be cut short"
        ) from error


@dataclass
class _Budget:
    """What is left of the limits."""

    archive: str
    limits: Limits
    members: int = field(init=False, default=0)
    total_bytes: int = field(init=False, default=0)

    def admit(self, name: str) -> str:
        """Count a member and return its name with forward slashes."""
        self.members += 1
        if self.members > self.limits.members:
            raise DataError(f"{self.archive} has more than {self.limits.members:,} members")
        plain = name.replace("\\", "/")
        windows = PureWindowsPath(plain)
        if windows.root or windows.drive or ".." in PurePosixPath(plain).parts or "\0" in plain:
            raise DataError(f"{self.archive}: member {name!r} leaves the archive; do not trust it")
        return plain

    def refuse(self, name: str, what: str) -> DataError:
        return DataError(f"{self.archive}: member {name!r} is {what}; only plain files are taken")

    def spend(self, size: int) -> None:
        self.total_bytes += size
        if self.total_bytes > self.limits.total_bytes:
            raise DataError(
                f"{self.archive} unpacks to more than {self.limits.total_bytes:,} bytes, more "
                f"than any data set has"
            )

    def read(self, name: str, source: Readable) -> bytes:
        data = source.read(self.limits.member_bytes + 1)
        if len(data) > self.limits.member_bytes:
            raise DataError(
                f"{self.archive}: member {name!r} has more than {self.limits.member_bytes:,} bytes"
            )
        return data


class _Counted(io.RawIOBase):
    """A stream that spends the budget as it is read."""

    def __init__(self, source: Readable, budget: _Budget) -> None:
        super().__init__()
        self.source = source
        self.budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self.source.read(len(buffer))
        self.budget.spend(len(data))
        buffer[: len(data)] = data
        return len(data)


def _tar(source: Readable, wanted: Wanted, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    counted = io.BufferedReader(_Counted(source, budget))
    # Streaming mode never seeks, so that a lying header cannot make it skip the count.
    with tarfile.open(fileobj=counted, mode="r|") as archive:
        for member in archive:
            name = budget.admit(member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise budget.refuse(name, "a link, a device or sparse")
            if wanted(name, member.size):
                content = archive.extractfile(member)
                if content is not None:
                    yield name, budget.read(name, content)


def _zip(
    source: IO[bytes], wanted: Wanted, budget: _Budget, nested: str
) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            name = budget.admit(member.filename)
            if name.endswith("/"):
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise budget.refuse(name, "a link or a device")
            inner = bool(nested) and PurePosixPath(name).name == nested
            if not inner and not wanted(name, member.file_size):
                continue
            with archive.open(member) as content:
                counted = io.BufferedReader(_Counted(content, budget))
                if inner:
                    with gzip.GzipFile(fileobj=counted) as unpacked:
                        yield from _tar(unpacked, wanted, budget)
                else:
                    yield name, budget.read(name, counted)


def _folder(folder: Path, wanted: Wanted, budget: _Budget) -> Iterator[tuple[str, bytes]]:
    top = folder.resolve()
    for parent, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            # The folder's own name counts: a class is told by the folder that holds its images.
            member = budget.admit(path.relative_to(top.parent).as_posix())
            if not wanted(member, path.lstat().st_size):
                continue
            if path.is_symlink() or not path.is_file():
                raise budget.refuse(member, "a link or a device")
            with path.open("rb") as file:
                data = budget.read(member, file)
            budget.spend(len(data))
            yield member, data
