"""Printing for people and for programs."""

import os
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
NARROWEST = 8
"""Columns of text: what surrounds a table's column, and the least that one whose text folds keeps."""


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

    In a pipe every row is one line. In a terminal names and short columns are kept whole, as long as
    there is room, and the text of the others folds.
    """
    console = _Console()
    # FORCE_COLOR makes no terminal, and COLUMNS may be 0.
    if console.width < 1 or not (console.file.isatty() or "COLUMNS" in os.environ):
        console.width = WIDTH_OF_A_PIPE
    cells = [[str(value) for value in row.values()] for row in rows]
    names = list(rows[0]) if rows else []
    columns = [[name, *column] for name, *column in zip(names, *cells, strict=True)]
    whole = _whole([max(map(len, column)) for column in columns], console.width - 1)
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=number in whole)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(Text(title, style="table.title"))  # as a part of the table it would fold with it
    console.print(table)


def _whole(widths: Sequence[int], room: int) -> set[int]:
    """Which columns need not fold: the first, which names its row, then the narrowest."""
    room -= sum(min(width, NARROWEST) + MARGINS for width in widths)
    whole = set()
    for number in sorted(range(len(widths)), key=lambda number: (number > 0, widths[number])):
        more = max(0, widths[number] - NARROWEST)
        if more <= room:
            room -= more
            whole.add(number)
    return whole
