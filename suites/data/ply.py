"""The PLY format, as far as point clouds use it: binary little-endian, vertices first."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

LONGEST_HEADER_BYTES = 2**16
MOST_HEADER_LINES = 1_000

TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "<i2",
    "ushort": "<u2",
    "int": "<i4",
    "uint": "<u4",
    "float": "<f4",
    "double": "<f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "float32": "<f4",
    "float64": "<f8",
}

END_OF_HEADER = re.compile(rb"(?:^|\n)end_header\r?\n")
ELEMENT = re.compile(r"element (\S+) (\d{1,12})")
PROPERTY = re.compile(r"property (\S+) (\S+)")
IGNORED = re.compile(r"(?:comment|obj_info)(?: .*)?")


def read_ply(path: Path) -> NDArray[np.void]:
    """Read the vertices: a structured array `[N]` with the header's property names.

    Raises:
        DataError: if the file is of another format, broken, or shorter or longer than its header
            says.
    """
    return parse_ply(path.read_bytes(), path.name)


def parse_ply(data: bytes, name: str) -> NDArray[np.void]:
    """Parse the bytes of a PLY file, see `read_ply`."""
    end = END_OF_HEADER.search(data, 0, LONGEST_HEADER_BYTES)
    if not data.startswith((b"ply\n", b"ply\r\n")) or end is None:
        raise DataError(f"{name} is not a PLY file: `ply` ... `end_header` was expected")
    header = data[: end.start()].decode("latin-1").split("\n")
    if len(header) > MOST_HEADER_LINES:
        raise DataError(f"{name}: the header has more than {MOST_HEADER_LINES:,} lines")
    lines = [line.rstrip("\r") for line in header[1:]]
    count, fields, others = _layout([line for line in lines if not IGNORED.fullmatch(line)], name)
    dtype = np.dtype(fields)
    body = len(data) - end.end()
    needed = count * dtype.itemsize
    if body < needed or (body > needed and not others):
        raise DataError(
            f"{name}: {count:,} vertices of {dtype.itemsize} bytes need {needed:,} bytes, and "
            f"there are {body:,}"
        )
    return np.frombuffer(data, dtype=dtype, count=count, offset=end.end())


def _layout(lines: list[str], name: str) -> tuple[int, list[tuple[str, str]], bool]:
    """Number of vertices, their fields, and whether anything follows them."""
    if not lines or lines[0] != "format binary_little_endian 1.0":
        found = lines[0] if lines else "nothing"
        raise DataError(f"{name}: `format binary_little_endian 1.0` was expected, not {found!r}")
    element = ELEMENT.fullmatch(lines[1]) if len(lines) > 1 else None
    if element is None or element[1] != "vertex":
        raise DataError(f"{name}: `element vertex` with a number was expected first")
    fields: dict[str, str] = {}
    others = False
    for line in lines[2:]:
        if ELEMENT.fullmatch(line):
            others = True
            break
        field = PROPERTY.fullmatch(line)
        if field is None or field[1] not in TYPES:
            raise DataError(f"{name}: {line[:80]!r} is not a property that a point can have")
        if field[2] in fields:
            raise DataError(f"{name}: property {field[2]!r} appears twice")
        fields[field[2]] = TYPES[field[1]]
    if not fields:
        raise DataError(f"{name}: the vertices have no properties")
    return int(element[2]), list(fields.items()), others
