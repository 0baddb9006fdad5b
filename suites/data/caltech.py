"""Caltech-101: the photographs as they lie in the archive, not yet decoded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from suites.data.archives import members
from suites.data.cache import parsed_once
from suites.data.catalogue import CALTECH101
from suites.data.folder import find
from suites.data.npz import Expected

ARCHIVE_NAME = "101_ObjectCategories.tar.gz"
BACKGROUND = "BACKGROUND_Google"
"""A folder of the archive that is no class."""

VERIFIER_VERSION = 1

MEMBER = re.compile(r"(?:.*/)?([^/]+)/(image_\d{4}\.jpg)")


@dataclass(frozen=True)
class Photograph:
    """One JPEG file: the class by its name, the member's name, the bytes."""

    category: str
    name: str
    jpeg: bytes


def layout_name(name: str) -> str | None:
    """Return the name that an image has in the data folder's archive; None for other members."""
    match = MEMBER.fullmatch(name)
    return None if match is None else f"101_ObjectCategories/{match[1]}/{match[2]}"


def photographs(path: Path | None = None, *, as_published: bool = True) -> Iterator[Photograph]:
    """Yield the photographs of the 101 classes, sorted by their names.

    Args:
        path: the archive; the data folder's if None.
        as_published: refuse a data folder's archive that holds anything else than was published.

    Raises:
        DataError: if the archive is missing, broken, dangerous, not sorted, or not what was published.
    """
    if path is None:
        path = find(CALTECH101, ARCHIVE_NAME)
        if as_published:
            _verify(path)
    last = ""
    for name, jpeg in members(path, _in_a_class):
        category, file = name.split("/")[-2:]
        found = Photograph(category, f"{category}/{file}", jpeg)
        if found.name <= last:  # whoever takes the first ones, or every fourth, relies on it
            raise DataError(
                f"{path} is not sorted: {found.name} comes after {last}; `sparsebench data add "
                f"caltech101` packs it anew"
            )
        last = found.name
        yield found


def _verify(path: Path) -> None:
    """Hold the archive against what was published, once for its bytes."""
    from suites.data import contents  # noqa: PLC0415  # which knows what is in this archive

    expected = CALTECH101.files[0].content
    if expected is None:
        return

    def parse() -> dict[str, NDArray[Any]]:
        found = contents.describe(expected.kind, contents.read(expected.kind, path))
        contents.check(expected, found, str(path))
        return {"images": np.array([dict(found.counts)["images"]])}

    parsed_once(path, VERIFIER_VERSION, {"images": Expected("i", (1,))}, parse)


def _in_a_class(name: str, _: int) -> bool:
    match = MEMBER.fullmatch(name)
    return match is not None and match[1] != BACKGROUND
