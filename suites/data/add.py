"""Taking data that the user already has: verified first, then copied into the data folder."""

from collections.abc import Iterator
from pathlib import Path

from bench.errors import DataError, UserError
from bench.files import written_whole
from suites.data import contents
from suites.data.archives import members
from suites.data.catalogue import DataFile, DataSet
from suites.data.digests import is_published
from suites.data.rar import is_rar, unpacked


def add(data_set: DataSet, path: Path, folder: Path) -> list[Path]:
    """Copy what a path holds of a data set into the data folder; good files there are kept.

    Args:
        data_set: what to look for; names and packing of the user's copy do not matter.
        path: a file of the data set, or a folder or archive that holds some.
        folder: the data folder.

    Returns:
        The files that were written.

    Raises:
        DataError: if the path holds nothing of the data set, or something damaged; then nothing is
            written.
        UserError: if there is no such path, or the data folder cannot be written.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; give a file, folder or archive")
    if is_rar(path):
        with unpacked(path) as plain:
            return add(data_set, plain, folder)
    packed = [file for file in data_set.files if file.content is not None]
    try:
        return _pack(packed, path, folder) if packed else _copy(data_set, path, folder)
    except OSError as error:
        raise UserError(f"{data_set.name} cannot be put into {folder}: {error}") from error


def is_good(file: DataFile, path: Path) -> bool:
    """Whether a file of the data folder is there and what it should be, by digest or content."""
    if file.content is None:
        return is_published(file, path)
    try:
        found = contents.describe(file.content.kind, contents.read(file.content.kind, path))
    except (DataError, OSError):
        return False
    return found == file.content


def _pack(files: list[DataFile], path: Path, folder: Path) -> list[Path]:
    written = []
    for file in files:
        target = folder / file.path
        if file.content is not None and not is_good(file, target):
            contents.pack(file.content, path, target)
            written.append(target)
    return written


def _copy(data_set: DataSet, path: Path, folder: Path) -> list[Path]:
    found = _recognised(data_set, path)
    if not found:
        raise DataError(
            f"{path} holds nothing of {data_set.name}; "
            f"{', '.join(file.name for file in data_set.files)} were looked for"
        )
    written = []
    for file, data in found.items():
        target = folder / file.path
        if not is_good(file, target):
            with written_whole(target) as opened:
                opened.write(data)
            written.append(target)
    return written


def _recognised(data_set: DataSet, path: Path) -> dict[DataFile, bytes]:
    """Tell files by their digests, whatever they are called.

    Raises:
        DataError: if one has the name of a file of the data set and another digest.
    """
    by_name = {file.name: file for file in data_set.files}
    found = {}
    for name, data in _candidates(data_set, path):
        recognised = next((file for file in data_set.files if is_published(file, data)), None)
        if recognised is not None:
            found[recognised] = data
        elif name in by_name:
            raise DataError(
                f"{name} in {path} is not the published file: "
                f"{by_name[name].digest} was expected; nothing was added"
            )
    return found


def _candidates(data_set: DataSet, path: Path) -> Iterator[tuple[str, bytes]]:
    known = {file.name for file in data_set.files}
    sizes = {file.size_bytes for file in data_set.files}
    # A data set's own file may be a zip or gzip file too; it is not an archive of others.
    if path.is_file() and (path.name in known or path.stat().st_size in sizes):
        yield path.name, path.read_bytes()
        return
    for name, data in members(path, lambda name, size: size in sizes or _last(name) in known):
        yield _last(name), data


def _last(name: str) -> str:
    return name.rpartition("/")[2]
