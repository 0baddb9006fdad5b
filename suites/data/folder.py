"""Where data lies: `$SPARSEBENCH_DATA`, else the user's cache folder."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from bench.errors import DataError, MissingDataError, UserError
from suites.data.catalogue import DataFile, DataSet
from suites.data.digests import is_published

VARIABLE = "SPARSEBENCH_DATA"


def data_folder() -> Path:
    """Return the folder that holds the data sets.

    Raises:
        UserError: if `$SPARSEBENCH_DATA` names no folder.
    """
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        return user_cache_path("sparsebench") / "data"
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise UserError(f"${VARIABLE} is {chosen!r}, which is not a folder; create it or unset it")
    return folder


def parsed_folder() -> Path:
    """Return the folder for what is derived from data; `$SPARSEBENCH_DATA` may be read-only."""
    return user_cache_path("sparsebench") / "parsed"


def find(data_set: DataSet, name: str) -> Path:
    """Return the path of a data set's file, which is the publisher's byte for byte.

    Of a file that may be packed in another way, whoever reads it knows the content.

    Raises:
        MissingDataError: if it is not there.
        DataError: if its bytes are not the publisher's.
    """
    file = data_set.file(name)
    path = data_folder() / file.path
    if not path.is_file():
        raise MissingDataError(
            f"{data_set.name}: {path} is missing; get it by {data_set.how_to_get}"
        )
    status = path.stat()
    if file.content is None and not _is_good(file, path, status.st_mtime_ns, status.st_size):
        raise DataError(
            f"{data_set.name}: {path} is not what its publisher has; move it away and get it by "
            f"{data_set.how_to_get}"
        )
    return path


@lru_cache
def _is_good(file: DataFile, path: Path, _time: int, _size: int) -> bool:
    """Compare a file with its digest once, until it changes."""
    return is_published(file, path)


@dataclass(frozen=True)
class Presence:
    """What the data folder has of a data set, judged by names and sizes alone.

    Attributes:
        missing: needed files that are not there.
        wrong_size: files that are there and cannot be the publisher's.
        needed: number of files that should be there.
    """

    missing: tuple[DataFile, ...]
    wrong_size: tuple[DataFile, ...]

    needed: int

    @property
    def state(self) -> Literal["present", "missing", "partial", "damaged"]:
        """The worst that can be said of it."""
        if self.wrong_size:
            return "damaged"
        if not self.missing:
            return "present"
        return "missing" if len(self.missing) == self.needed else "partial"


def presence(data_set: DataSet, folder: Path) -> Presence:
    """Look which files of a data set a folder has."""
    missing = [file for file in data_set.needed if not (folder / file.path).is_file()]
    wrong_size = [
        file
        for file in data_set.files
        if (folder / file.path).is_file() and not _size_fits(file, folder / file.path)
    ]
    return Presence(tuple(missing), tuple(wrong_size), len(data_set.needed))


def _size_fits(file: DataFile, path: Path) -> bool:
    found = path.stat().st_size
    if file.content is not None or file.size_bytes is None:
        return found > 0
    return found == file.size_bytes
