"""Printing for people and for programs."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_A_PIPE = 1000
MARGINS = 3
"""Columns of text that surround a table's column."""
PIECE = re.compile(r"[^ _-]*[_-]+ *|[^ _-]+ *| +")
WORD = re.compile(r"[^ ]+ *| +")
UNITS = re.compile(r"[^ _-]*[_-]+|[^ _-]+"), re.compile(r"[^ ]+"), re.compile(r".+", re.DOTALL)
"""What a fold spares, from what is spared last: pieces of names, words, whole lines."""


class _Console(Console):
    """Leaves it to the command what to do when whoever read its output has enough."""

    def on_broken_pipe(self) -> None:
        """Raise what rich would make an exit code of 1 of."""
        raise BrokenPipeError


def say(line: str) -> None:
    """Say something on standard error, beside what a command prints."""
    print(f"sparsebench: {line}", file=sys.stderr)  # noqa: T201


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())  # noqa: T201


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table; markup in them is shown, not obeyed.

    In a pipe every row is one line. In a terminal text folds between words, as far as it must, and
    within one only where not even words have room: then after hyphens and underscores, if it has any.
    """
    console = _Console()
    # FORCE_COLOR makes no terminal, and COLUMNS may be 0.
    if console.width < 1 or not (console.file.isatty() or "COLUMNS" in os.environ):
        console.width = WIDTH_OF_A_PIPE
    names = list(rows[0]) if rows else []
    lines = [names, *([str(value) for value in row.values()] for row in rows)]
    widths = _widths(list(zip(*lines, strict=True)), console.width - 1)
    head, *body = [[*map(_folded, line, widths)] for line in lines]
    table = Table(box=box.SIMPLE_HEAD)
    for name, width in zip(head, widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    for row in body:
        table.add_row(*row)
    console.print(Text(title, style="table.title"))  # as a part of the table it would fold with it
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Share the room: lines stay whole if they can, or else words, or else the pieces of names.

    What room is left goes to all columns alike, so that the widest give way first.
    """
    room -= MARGINS * len(columns)
    least = [1 for _ in columns]
    for unit in UNITS:
        wanted = [
            max(len(found) for text in column for found in unit.findall(text) or [" "])
            for column in columns
        ]
        if sum(wanted) > room:
            bound = 1
            while sum(_raised(least, wanted, bound + 1)) <= room:
                bound += 1
            return _raised(least, wanted, bound)
        least = wanted
    return least


def _raised(least: Sequence[int], most: Sequence[int], bound: int) -> list[int]:
    return [max(low, min(high, bound)) for low, high in zip(least, most, strict=True)]


def _folded(text: str, width: int) -> Text:
    """Begin new lines after spaces, and within a word that is too long after hyphens and such."""
    lines = [""]
    for word in WORD.findall(text):
        pieces = [word] if len(word.rstrip()) <= width else PIECE.findall(word)
        for piece in pieces:
            if len(f"{lines[-1]}{piece}".rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return Text("\n".join(line.rstrip() for line in lines if line))
