"""The IDX format of the original MNIST files: gzip, a magic number, sizes, unsigned bytes.

Big-endian: two zero bytes, 0x08 for unsigned bytes, the number of axes, a 32-bit size for each
axis, then the values in C order.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

UNSIGNED_BYTE = 0x08
LARGEST_BYTES = 2**28


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes with that many axes.

    Raises:
        DataError: if it is anything else; the message names the file.
    """
    return parse_idx(path.read_bytes(), axes, path.name)


def parse_idx(data: bytes, axes: int, name: str) -> NDArray[np.uint8]:
    """Parse gzipped IDX bytes, see `read_idx`."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            shape = _shape(file.read(4 + 4 * axes), axes, name)
            size = math.prod(shape)
            if size > LARGEST_BYTES:
                raise DataError(f"{name}: shape {shape} is more than {LARGEST_BYTES:,} bytes")
            values = file.read(size)
            rest = file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a gzip file, or is cut short ({error})") from error
    if len(values) != size or rest:
        found = f"{len(values):,}" if not rest else "more"
        raise DataError(f"{name}: shape {shape} needs {size:,} bytes, and there are {found}")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape).copy()


def _shape(header: bytes, axes: int, name: str) -> tuple[int, ...]:
    expected = bytes((0, 0, UNSIGNED_BYTE, axes))
    if header[:4] != expected:
        raise DataError(
            f"{name} begins with {header[:4].hex(' ') or 'nothing'}; an IDX file of bytes with "
            f"{axes} axes begins with {expected.hex(' ')}"
        )
    if len(header) != 4 + 4 * axes:
        raise DataError(f"{name} ends within its header")
    return struct.unpack(f">{axes}I", header[4:])
