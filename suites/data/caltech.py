"""Caltech-101: the photographs as they lie in the archive, not yet decoded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suites.data.archives import members
from suites.data.catalogue import CALTECH101
from suites.data.folder import find

ARCHIVE_NAME = "101_ObjectCategories.tar.gz"
BACKGROUND = "BACKGROUND_Google"
"""A folder of the archive that is no class."""

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


def photographs(path: Path | None = None) -> Iterator[Photograph]:
    """Yield the photographs of the 101 classes, in the archive's order.

    Args:
        path: the archive; the data folder's if None.

    Raises:
        DataError: if the archive is missing, broken or dangerous.
    """
    archive = find(CALTECH101, ARCHIVE_NAME) if path is None else path
    for name, jpeg in members(archive, _in_a_class):
        category, file = name.split("/")[-2:]
        yield Photograph(category, f"{category}/{file}", jpeg)


def _in_a_class(name: str, _: int) -> bool:
    match = MEMBER.fullmatch(name)
    return match is not None and match[1] != BACKGROUND
