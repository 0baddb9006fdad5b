"""UCI's online handwritten Assamese characters: pen recordings by 45 writers."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, UserError
from suites.data import contents, recording
from suites.data.cache import parsed_once
from suites.data.catalogue import ASSAMESE, DataSet
from suites.data.folder import find
from suites.data.npz import Expected
from suites.data.recording import Recording

CHARACTERS = 183

# The split of SparseConvNet's VGG example.
TRAIN_WRITERS = (
    *(45, 9, 3, 34, 31, 25, 23, 17, 22, 37, 27, 2, 10, 13, 7, 42, 4, 8),
    *(33, 11, 12, 1, 39, 38, 36, 20, 14, 21, 40, 24, 32, 5, 35, 18, 44, 41),
)
TEST_WRITERS = (30, 28, 29, 19, 15, 26, 6, 16, 43)

PARSER_VERSION = 1
_ARRAYS = {
    "writers": Expected("i", (None,)),
    "characters": Expected("i", (None,)),
    "ends": Expected("i", (None,)),
    "points": Expected("f", (None, 2)),
    "strokes": Expected("i", (None,)),
}


class BrokenRecordingsError(DataError):
    """Recordings cannot be read: whoever can do without them may leave them out."""


@dataclass(frozen=True)
class BrokenRecording:
    """A recording that cannot be read.

    Attributes:
        name: in the archive.
        writer, character: by its name.
        fault: what is wrong with it, in words that name it.
    """

    name: str
    writer: int
    character: int
    fault: str


def load(
    writers: Collection[int] | None = None, data_set: DataSet = ASSAMESE
) -> tuple[Recording, ...]:
    """Load the recordings of some writers, sorted by writer and character.

    All recordings are parsed and verified once; later calls read the parsed arrays.

    Args:
        writers: `TRAIN_WRITERS`, `TEST_WRITERS` or any others; everybody if None.
        data_set: what the data folder's archive is held against.

    Raises:
        BrokenRecordingsError: if recordings cannot be read; it counts them and names the first.
        DataError: if the archive is missing, broken, or not what was published.
        UserError: if a writer has no recording.
    """
    path = find(data_set, data_set.files[0].name)
    arrays = parsed_once(path, PARSER_VERSION, _ARRAYS, lambda: _parse(path, data_set))
    recordings = _recordings(arrays)
    if writers is None:
        return recordings
    wanted = _known(writers, {found.writer for found in recordings}, data_set)
    return tuple(found for found in recordings if found.writer in wanted)


def load_readable(
    writers: Collection[int], data_set: DataSet = ASSAMESE
) -> tuple[tuple[Recording, ...], tuple[BrokenRecording, ...]]:
    """Load the recordings of some writers that can be read, and say which of theirs cannot.

    The archive is parsed at every call, and not held against what was published.

    Args:
        writers: whose.
        data_set: which archive of the data folder.

    Raises:
        BrokenRecordingsError: if none at all can be read.
        DataError: if the archive is missing or broken.
        UserError: if a writer has no recording, broken ones included.
    """
    parsed, broken = _read(find(data_set, data_set.files[0].name))
    if broken and not parsed:
        raise _refusal(broken)
    readable = _in_order(parsed)
    everybody = {one.writer for one in readable} | {one.writer for one in broken}
    wanted = _known(writers, everybody, data_set)
    return (
        tuple(one for one in readable if one.writer in wanted),
        tuple(one for one in broken if one.writer in wanted),
    )


def _known(writers: Collection[int], everybody: set[int], data_set: DataSet) -> set[int]:
    """Return writers as a set, all of whom have recordings."""
    unknown = set(writers) - everybody
    if unknown:
        raise UserError(f"{data_set.name} has no writer {min(unknown)}")
    return set(writers)


def _read(path: Path) -> tuple[dict[str, Recording], list[BrokenRecording]]:
    """Read every recording of the archive."""
    parsed: dict[str, Recording] = {}
    broken = []
    for name, data in contents.read("recordings", path).items():
        try:
            parsed[name] = recording.parse(data, name)
        except DataError as error:
            broken.append(BrokenRecording(name, *recording.numbers_of(name), str(error)))
    return parsed, broken


def _refusal(broken: list[BrokenRecording]) -> DataError:
    """Count broken recordings and name the first."""
    more = f"; and {len(broken) - 1:,} more are broken" if len(broken) > 1 else ""
    return BrokenRecordingsError(broken[0].fault + more)


def _in_order(parsed: dict[str, Recording]) -> list[Recording]:
    return sorted(parsed.values(), key=lambda one: (one.writer, one.character))


def _parse(path: Path, data_set: DataSet) -> dict[str, NDArray[Any]]:
    """Parse the archive, which is to be what was published."""
    parsed, broken = _read(path)
    if broken:
        raise _refusal(broken)
    expected = data_set.files[0].content
    if expected is not None:
        described = (contents.describe_recording(one, name) for name, one in parsed.items())
        contents.check(expected, contents.amount("recordings", described), str(path))
    recordings = _in_order(parsed)
    return {
        "writers": np.array([one.writer for one in recordings], dtype=np.int64),
        "characters": np.array([one.character for one in recordings], dtype=np.int64),
        "ends": np.cumsum([len(one.points) for one in recordings], dtype=np.int64),
        "points": np.concatenate([one.points for one in recordings]),
        "strokes": np.concatenate([one.strokes for one in recordings]),
    }


def _recordings(arrays: dict[str, NDArray[Any]]) -> tuple[Recording, ...]:
    points, strokes = arrays["points"], arrays["strokes"]
    ends = arrays["ends"].tolist()
    rows = zip(
        arrays["writers"].tolist(),
        arrays["characters"].tolist(),
        [0, *ends[:-1]],
        ends,
        strict=True,
    )
    return tuple(
        Recording(writer, character, points[start:end], strokes[start:end])
        for writer, character, start, end in rows
    )
