"""Downloading data sets from their publishers."""

import tempfile
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pooch
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bench.errors import DataError, UserError, whole_text
from suites.data.add import add, is_good
from suites.data.catalogue import DataFile, DataSet
from suites.data.rar import unpacker

TIMEOUT_SECONDS = 30
READABLE_BY_ALL = 0o644


def fetch(data_set: DataSet, folder: Path) -> list[Path]:
    """Download what the data folder lacks of a data set; good files there are kept.

    Args:
        data_set: what to download.
        folder: the data folder.

    Returns:
        The files that were written.

    Raises:
        DataError: if a download fails, or is not what was expected; nothing of it is kept.
        UserError: if the data folder cannot be written.
    """
    written = []
    for file in data_set.needed:
        target = folder / file.path
        if is_good(file, target):
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Next to the target, so that the finished file is only renamed.
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as name:
                _into_place(data_set, file, Path(name), folder)
        except OSError as error:
            raise UserError(f"{data_set.name} cannot be put into {folder}: {error}") from error
        written.append(target)
    return written


def _into_place(data_set: DataSet, file: DataFile, temporary: Path, folder: Path) -> None:
    downloaded = _download(data_set, file, temporary)
    if file.content is None:
        downloaded.chmod(READABLE_BY_ALL)
        downloaded.replace(folder / file.path)
    else:
        add(data_set, downloaded, folder)


def _download(data_set: DataSet, file: DataFile, temporary: Path) -> Path:
    url = file.url or ""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if name.endswith(".rar"):
        unpacker(url)  # rather than after the download
    pooch.get_logger().setLevel("WARNING")
    with _Bar(file.name) as bar:
        downloader = pooch.HTTPDownloader(
            progressbar=bar,
            timeout=TIMEOUT_SECONDS,
            # Some servers unpack .gz on the way, which changes the digest.
            headers={"Accept-Encoding": "identity"},
        )
        try:
            path = pooch.retrieve(url, file.digest, name, temporary, downloader=downloader)
        except OSError as error:  # all of requests' errors among them
            raise DataError(
                f"{data_set.name}: {url} could not be downloaded ({whole_text(error)}); try again, "
                f"or `sparsebench data add {data_set.name} PATH` with a copy of your own"
            ) from error
        except ValueError as error:
            raise DataError(
                f"{data_set.name}: what came from {url} is not the published file, "
                f"{file.digest} was expected; it was thrown away"
            ) from error
    return Path(path)


class _Bar:
    """What pooch wants of a progress bar, by rich, and on a terminal only."""

    def __init__(self, description: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(description, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def total(self) -> Any:  # noqa: ANN401
        """Number of bytes to come."""
        return self._progress.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)

    def update(self, size: int) -> None:
        """Count bytes that came."""
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        """Count from nothing again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Leave the bar as it is; the context ends it."""
