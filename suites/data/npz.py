"""Reading numpy's .npz files that nobody vouches for: no pickles, known keys, known shapes."""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError, first_line

LARGEST_ARRAY_BYTES = 2**30

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Expected:
    """What an array must be.

    Attributes:
        kind: the kind of number, as numpy's `dtype.kind` has it.
        shape: the size along each axis, None for any.
    """

    kind: str
    shape: tuple[int | None, ...]

    def fits(self, array: NDArray[Any]) -> bool:
        """Whether an array is so."""
        return (
            array.dtype.kind == self.kind
            and array.ndim == len(self.shape)
            and all(
                size in {None, found} for size, found in zip(self.shape, array.shape, strict=True)
            )
        )


def read_arrays(path: Path, expected: Mapping[str, Expected]) -> dict[str, NDArray[Any]]:
    """Read the named arrays; others are left alone.

    Raises:
        DataError: if the file is broken, or an array is missing or not as expected.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as file:
            for key, wanted in expected.items():
                arrays[key] = _array(file, key)
                if not wanted.fits(arrays[key]):
                    raise DataError(
                        f"{path.name}: {key} is {arrays[key].dtype} {arrays[key].shape}; kind "
                        f"{wanted.kind!r} and shape {wanted.shape} were expected"
                    )
    except _BROKEN as error:
        raise DataError(f"{path.name} cannot be read as .npz: {first_line(error)}") from error
    return arrays


def _array(file: zipfile.ZipFile, key: str) -> NDArray[Any]:
    member = file.getinfo(f"{key}.npy")
    if member.file_size > LARGEST_ARRAY_BYTES:
        raise ValueError(f"{key} has {member.file_size:,} bytes")
    data = io.BytesIO(file.read(member))
    version = np.lib.format.read_magic(data)
    if version != (1, 0):
        raise ValueError(f"{key} is of version {version} of the format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(data)
    if dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"{key} holds {dtype}, not numbers")
    # The size is known before anything is allocated for it.
    if math.prod(shape) * dtype.itemsize != len(data.getbuffer()) - data.tell():
        raise ValueError(f"{key} is shorter or longer than its shape {shape}")
    # A copy, because torch warns of arrays that cannot be written.
    flat = np.frombuffer(data.getbuffer(), dtype, offset=data.tell()).copy()
    return flat.reshape(shape, order="F" if fortran_order else "C")
