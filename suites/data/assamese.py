"""UCI's online handwritten Assamese characters: pen recordings by 45 writers."""

from collections.abc import Collection
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


def load(
    writers: Collection[int] | None = None,
    data_set: DataSet = ASSAMESE,
    *,
    skip_broken: bool = False,
) -> tuple[Recording, ...]:
    """Load the recordings of some writers, sorted by writer and character.

    All recordings are parsed and verified once; later calls read the parsed arrays.

    Args:
        writers: `TRAIN_WRITERS`, `TEST_WRITERS` or any others; everybody if None.
        data_set: what the data folder's archive is held against.
        skip_broken: leave out recordings that cannot be read. The archive is then parsed at every
            call, and not held against what was published.

    Raises:
        DataError: if the archive is missing, broken, or not what was published; it counts the broken
            recordings and names the first.
        UserError: if a writer has no recording.
    """
    path = find(data_set, data_set.files[0].name)
    if skip_broken:
        arrays = _parse(path, None)
    else:
        arrays = parsed_once(path, PARSER_VERSION, _ARRAYS, lambda: _parse(path, data_set))
    recordings = _recordings(arrays)
    if writers is None:
        return recordings
    wanted = set(writers)
    unknown = wanted - {found.writer for found in recordings}
    if unknown:
        raise UserError(f"{data_set.name} has no writer {min(unknown)}")
    return tuple(found for found in recordings if found.writer in wanted)


def _parse(path: Path, data_set: DataSet | None) -> dict[str, NDArray[Any]]:
    """Parse the archive; held against nothing, it may hold broken recordings, which are left out."""
    parsed: dict[str, Recording] = {}
    broken = []
    for name, data in contents.read("recordings", path).items():
        try:
            parsed[name] = recording.parse(data, name)
        except DataError as error:
            broken.append(str(error))
    if broken and (data_set is not None or not parsed):
        more = f"; and {len(broken) - 1:,} more are broken" if len(broken) > 1 else ""
        raise DataError(broken[0] + more)
    expected = None if data_set is None else data_set.files[0].content
    if expected is not None:
        described = (contents.describe_recording(one, name) for name, one in parsed.items())
        contents.check(expected, contents.amount("recordings", described), str(path))
    recordings = sorted(parsed.values(), key=lambda one: (one.writer, one.character))
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
