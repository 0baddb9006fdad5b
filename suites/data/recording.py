"""The text format of one pen recording in the UCI set of online handwritten Assamese characters.

    CHARACTER_NAME: A
    STROKE_COUNT: 3
      X           Y   STYLUS_STATE STROKE
    PEN_DOWN
    1138        1561        1        1
    ...
    PEN_UP                  0
    END_CHARACTER: A

A stroke begins with the first point after a pen marker, and where the STROKE column changes. That
survives what the published files do: PEN_DOWN and PEN_UP with nothing in between, points after a
PEN_UP, PEN_UP before any point, two PEN_DOWN in a row, no PEN_UP at the end, a STROKE_COUNT that
differs from the pen markers, a class spelt differently from one file to another.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import DataError

HEADER = (
    (re.compile(rb"CHARACTER_NAME:[ -~]*"), "CHARACTER_NAME: and a name"),
    (re.compile(rb"STROKE_COUNT:\s*\d+\s*"), "STROKE_COUNT: and a number"),
    (re.compile(rb"\s*X\s+Y\s+STYLUS_STATE\s+STROKE\s*"), "X Y STYLUS_STATE STROKE"),
)
# Seven digits are more than any tablet has and still exact in float32's range.
POINT = re.compile(rb"\s*(-?\d{1,7})\s+(-?\d{1,7})\s+\d+\s+(\d{1,4})\s*")
PEN_MARKER = re.compile(rb"PEN_(?:DOWN|UP)(?:\s+\d+)?\s*")
END = re.compile(rb"END_CHARACTER:[ -~]*")

MEMBER = re.compile(r"(?:.*/)?W(\d{1,3})/(\d{1,3})\.(\d{1,3})\.txt", re.IGNORECASE)
QUOTED_CHARACTERS = 40


@dataclass(frozen=True, eq=False)
class Recording:
    """One character as one writer wrote it.

    Attributes:
        writer: the writer's number, from 1.
        character: the character's number, from 1; the class, whatever name the file gives it.
        points: float32 `[n, 2]`, x to the right and y downwards, in the tablet's units.
        strokes: int16 `[n]`, the stroke of each point, counted from 0, never decreasing.
    """

    writer: int
    character: int
    points: NDArray[np.float32]
    strokes: NDArray[np.int16]


def layout_name(name: str) -> str | None:
    """Return the name that a recording has in the data folder's archive; None for other members.

    The publisher's W6 holds a copy of 15.6 by the name of 15.5: a writer's folder whose file names
    another writer is no recording.
    """
    match = MEMBER.fullmatch(name)
    if match is None:
        return None
    folder, character, writer = (int(number) for number in match.groups())
    return f"W{writer}/{character}.{writer}.txt" if folder == writer else None


def numbers_of(name: str) -> tuple[int, int]:
    """Return a recording's writer and character by its name in the data folder's archive.

    Raises:
        DataError: if it is no recording's name.
    """
    match = MEMBER.fullmatch(name)
    if match is None:
        raise DataError(
            f"{name!r} is not a recording's name, which is W<writer>/<character>.<writer>.txt"
        )
    return int(match[3]), int(match[2])


def parse(data: bytes, name: str) -> Recording:
    """Read a recording; `name` is its name in the data folder's archive.

    Raises:
        DataError: names the member and, where there is one, the line.
    """
    writer, character = numbers_of(name)
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
    for number, (pattern, expected) in enumerate(HEADER):
        if number >= len(lines) or pattern.fullmatch(lines[number]) is None:
            raise _fault(name, lines, number, f"{expected} was expected")
    rows, strokes = _body(lines, name)
    return Recording(
        writer=writer,
        character=character,
        points=np.array(rows, dtype=np.float32).reshape(-1, 2),
        strokes=np.array(strokes, dtype=np.int16),
    )


def _body(lines: list[bytes], name: str) -> tuple[list[tuple[int, int]], list[int]]:
    rows: list[tuple[int, int]] = []
    strokes: list[int] = []
    stroke = -1
    column = b""  # the STROKE column of the point before, nothing after a pen marker
    for number in range(len(HEADER), len(lines)):
        line = lines[number]
        point = POINT.fullmatch(line)
        if point is not None:
            if point[3] != column:
                stroke += 1
                column = point[3]
            rows.append((int(point[1]), int(point[2])))
            strokes.append(stroke)
        elif PEN_MARKER.fullmatch(line):
            column = b""
        elif END.fullmatch(line):
            _nothing_more(lines, number + 1, name)
            break
        elif line.strip():
            raise _fault(name, lines, number, "a point or a pen marker was expected")
    else:
        raise DataError(f"{name} ends without END_CHARACTER; it is cut short")
    if not rows:
        raise DataError(f"{name} holds no point")
    if stroke > np.iinfo(np.int16).max:
        raise DataError(f"{name} holds {stroke + 1:,} strokes; it is not a character")
    return rows, strokes


def _nothing_more(lines: list[bytes], first: int, name: str) -> None:
    for number in range(first, len(lines)):
        if lines[number].strip():
            raise _fault(name, lines, number, "nothing was expected after END_CHARACTER")


def _fault(name: str, lines: list[bytes], number: int, expected: str) -> DataError:
    line = lines[number] if number < len(lines) else b""
    shown = ascii(line[:QUOTED_CHARACTERS].decode("latin-1"))
    return DataError(f"{name}, line {number + 1}: {expected}, not {shown}")


def digest(recording: Recording) -> str:
    """Digest the points, as sha256 of their float32 little-endian bytes."""
    return hashlib.sha256(recording.points.astype("<f4").tobytes()).hexdigest()
