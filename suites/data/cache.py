"""Arrays that were parsed once, kept in the user's cache folder.

An entry is named by the digest of the file that it was parsed from and by the parser's version, so
it can be stale in no way; zip's checksums tell a damaged one, which is parsed anew.
"""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError
from bench.files import written_whole
from suites.data.folder import parsed_folder
from suites.data.npz import Expected, read_arrays

# numpy's signature does not say that arrays come by any name.
_SAVE: Callable[..., None] = np.savez


def parsed_once(
    source: Path,
    version: int,
    expected: Mapping[str, Expected],
    parse: Callable[[], dict[str, NDArray[Any]]],
) -> dict[str, NDArray[Any]]:
    """Return what `parse` makes of a file, from the cache if it is there.

    Args:
        source: the file.
        version: to be raised whenever `parse` gives anything else for the same file.
        expected: the arrays that `parse` makes.
        parse: reads the file; its errors pass through, and nothing is kept.
    """
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = parsed_folder() / f"{source.name.split('.')[0]}-v{version}-{digest[:32]}.npz"
    with contextlib.suppress(DataError):
        return read_arrays(kept, expected)
    arrays = parse()
    # A cache folder that cannot be written costs time, nothing else.
    with contextlib.suppress(OSError), written_whole(kept) as file:
        _SAVE(file, **arrays)
    return arrays
