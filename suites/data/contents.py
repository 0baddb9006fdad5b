"""Recognising a data set by what it holds, whichever way it is packed; packing it anew.

The digest of a content is the sha256 over a line `<member's digest> <member's name>` for each
member, sorted by name. An image's digest is that of its bytes; a recording's is that of its points,
so that line ends and spelling do not count.
"""

import gzip
import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import DataError
from bench.files import written_whole
from suites.data import caltech, recording
from suites.data.archives import members
from suites.data.catalogue import Content, ContentKind

COMPRESSION_LEVEL = 6


@dataclass(frozen=True)
class Description:
    """One member's part in a content: its name in the layout, its digest, what it counts for."""

    name: str
    sha256: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class _Kind:
    layout_name: Callable[[str], str | None]
    describe: Callable[[str, bytes], Description]


def describe_recording(parsed: recording.Recording, name: str) -> Description:
    """Describe a recording by its points."""
    counts = {"recordings": 1, "points": len(parsed.points)}
    return Description(name, recording.digest(parsed), counts)


def _describe_recording(name: str, data: bytes) -> Description:
    return describe_recording(recording.parse(data, name), name)


def _describe_image(name: str, data: bytes) -> Description:
    return Description(name, hashlib.sha256(data).hexdigest(), {"images": 1})


_KINDS: dict[ContentKind, _Kind] = {
    "recordings": _Kind(recording.layout_name, _describe_recording),
    "images": _Kind(caltech.layout_name, _describe_image),
}


def read(kind: ContentKind, source: Path) -> dict[str, bytes]:
    """Read the members that matter of a folder or archive, by their names in the layout.

    Raises:
        DataError: if it cannot be read, or holds two different members of one name.
    """
    layout_name = _KINDS[kind].layout_name
    found: dict[str, bytes] = {}
    inner = caltech.ARCHIVE_NAME if kind == "images" else ""
    for name, data in members(source, lambda name, _: layout_name(name) is not None, nested=inner):
        canonical = layout_name(name) or name
        if found.setdefault(canonical, data) != data:
            raise DataError(f"{source.name} holds two different members that mean {canonical}")
    return found


def describe(kind: ContentKind, entries: Mapping[str, bytes]) -> Content:
    """Say what members by their names in the layout amount to."""
    return amount(kind, (_KINDS[kind].describe(name, data) for name, data in entries.items()))


def amount(kind: ContentKind, descriptions: Iterable[Description]) -> Content:
    """Put members' descriptions, in any order, together."""
    total: Counter[str] = Counter()
    lines = []
    for description in descriptions:
        total.update(description.counts)
        lines.append((description.name, description.sha256))
    combined = hashlib.sha256()
    for name, sha256 in sorted(lines):
        combined.update(f"{sha256} {name}\n".encode())
    return Content(kind, combined.hexdigest(), tuple(total.items()))


def check(expected: Content, found: Content, source: str) -> None:
    """Compare what a source holds with what it should hold.

    Raises:
        DataError: if they differ.
    """
    if not found.counts:
        raise DataError(f"{source} holds none of the {expected.counts[0][0]} that were expected")
    if found.counts != expected.counts:
        raise DataError(f"{source} holds {found}; {expected} were expected")
    if found.sha256 != expected.sha256:
        raise DataError(
            f"{source} holds {found}, as many as expected, but some are not the published ones"
        )


def pack(expected: Content, source: Path, target: Path) -> None:
    """Pack a folder or archive into the layout's tar.gz, if it holds what is expected.

    The same members give the same bytes, wherever they come from.

    Raises:
        DataError: if it does not hold what is expected.
    """
    entries = read(expected.kind, source)
    check(expected, describe(expected.kind, entries), source.name)
    with (
        written_whole(target) as file,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for header, data in _headers(entries):
            archive.addfile(header, io.BytesIO(data))


def _headers(entries: Mapping[str, bytes]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for name, data in sorted(entries.items()):
        header = tarfile.TarInfo(name)
        header.size = len(data)
        header.mode = 0o644
        yield header, data
