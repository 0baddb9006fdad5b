"""An archive of run files: a folder or bucket to which every run adds two files, each written once.

    runs/20261121T034334-1f0c7d2a9b3e.json          the run file, byte for byte: the record
    cells/2/20261121T034334-1f0c7d2a9b3e.parquet    a row for each of its cells, derived, for DuckDB

Names come from the start of the run and the digest of the file, so that writers never meet. A run file
that somebody only copied into `runs/` is summed up when it is first asked for. Reading runs no code.
"""

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import platformdirs
from fsspec.implementations.local import LocalFileSystem

from bench.errors import DataError, UserError
from bench.files import write_once
from bench.history import summary
from bench.results.envelope import read
from bench.results.schema import Run
from bench.results.store import decode

RUNS = "runs"
CELLS = f"cells/{summary.VERSION}"
DIGITS = 12


@dataclass(frozen=True)
class Skipped:
    """A file of the archive that is left out, and why."""

    name: str
    reason: str


class Archive:
    """The run files under one URL.

    Args:
        url: a folder, or anything that fsspec opens: `s3://bucket/path`, `gs://...`, `memory://...`.

    Raises:
        UserError: if there is no such kind of place, its name is no UTF-8, or a library is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            url.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"the archive {url!a} is not named in UTF-8: rename it") from error
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(f"cannot open the archive {url}: {error}") from error
        self._files: Any = files
        self._root = PurePosixPath(root)
        self._is_local = isinstance(files, LocalFileSystem)
        absolute = str(files.unstrip_protocol(root))
        name = hashlib.sha256(absolute.encode()).hexdigest()[:DIGITS]
        self._cache = Path(platformdirs.user_cache_dir("sparsebench")) / "history" / name

    def add(self, path: Path) -> str:
        """Add a run file and the summary of its cells; return its name, the same every time.

        Raises:
            DataError: if it is no whole run file.
            UserError: if the archive cannot be written to.
        """
        name, run, content = _named(path)
        try:
            self._put(f"{RUNS}/{name}.json", content)
            self._put(f"{CELLS}/{name}.parquet", summary.to_parquet(run, name))
        except OSError as error:
            raise UserError(f"cannot add to the archive {self.url}: {error}") from error
        return name

    def summaries(self) -> tuple[list[Path], list[Skipped]]:
        """Return the summaries of all runs as local files, and what had to be left out.

        Raises:
            UserError: if no run is there, or the archive cannot be read.
        """
        try:
            files = self._names(RUNS)
            stored = set(self._names(CELLS))
        except OSError as error:
            raise UserError(f"cannot read the archive {self.url}: {error}") from error
        if not files:
            raise UserError(f"the archive {self.url} is empty: `sparsebench history add` adds some")
        found, skipped = [], []
        for file in files:
            name = file.removesuffix(".json")
            if name == file:
                skipped.append(Skipped(file, "not a run file: its name does not end in .json"))
                continue
            try:
                found.append(self._summary(name, stored=f"{name}.parquet" in stored))
            except (DataError, OSError) as error:
                skipped.append(Skipped(file, str(error)))
        return found, skipped

    def make_anew(self, broken: Sequence[Path]) -> tuple[list[Path], list[Skipped]]:
        """Derive summaries that turned out damaged once more from their run files, in the cache."""
        found, skipped = [], []
        for path in broken:
            try:
                found.append(self._derive(path.stem))
            except (DataError, OSError) as error:
                skipped.append(Skipped(f"{path.stem}.json", str(error)))
        return found, skipped

    def _summary(self, name: str, *, stored: bool) -> Path:
        """The summary of one run as a local file, derived where it is not there."""
        cached = self._cache / f"{name}.parquet"
        place = Path(self._root / CELLS / cached.name) if self._is_local else cached
        if stored and self._is_local and summary.looks_whole(place):
            return place
        if summary.looks_whole(cached):
            return cached
        if stored and not self._is_local:
            content = self._files.cat_file(str(self._root / CELLS / cached.name))
            _keep(content, cached)
            if summary.looks_whole(cached):
                return cached
        return self._derive(name)

    def _derive(self, name: str) -> Path:
        """Sum a run file up, beside the others where that is allowed, and in the cache."""
        cached = self._cache / f"{name}.parquet"
        source = str(self._root / RUNS / f"{name}.json")
        derived = summary.to_parquet(decode(self._files.cat_file(source), source), name)
        _keep(derived, cached)
        with suppress(OSError):
            self._put(f"{CELLS}/{name}.parquet", derived)
        return cached

    def _names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted; none where it does not exist."""
        try:
            entries = self._files.ls(str(self._root / folder), detail=False)
        except FileNotFoundError:
            return []
        names = sorted(PurePosixPath(entry).name for entry in entries)
        return [name for name in names if not name.startswith(".")]

    def _put(self, name: str, content: bytes) -> None:
        """Write a file once, completely or not at all."""
        target = self._root / name
        if self._files.exists(str(target)):
            return
        if self._is_local:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another writer's, of the same bytes
                write_once(content, Path(target))
        else:
            self._files.pipe_file(str(target), content)


def name_of(path: Path) -> str:
    """The name that a run file has in every archive.

    Raises:
        DataError: if it is no whole run file.
    """
    return _named(path)[0]


def _named(path: Path) -> tuple[str, Run, bytes]:
    """A run file's name, what it says, and its content."""
    if path.name.endswith(".partial"):
        raise DataError(f"{path} is the journal of an unfinished run: finish it with --resume")
    content = read(path)
    run = decode(content, str(path))
    moment = re.sub(r"[^0-9T]", "", run.header.started[:19])
    return f"{moment}-{hashlib.sha256(content).hexdigest()[:DIGITS]}", run, content


def _keep(content: bytes, path: Path) -> None:
    """Put a file into the cache, where it may be replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with suppress(FileExistsError):
        write_once(content, path)
