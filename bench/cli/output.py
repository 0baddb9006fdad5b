"""Printing for people and for programs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(line: str) -> None:
    """Say something on standard error, beside what a command prints."""
    print(f"sparsebench: {line}", file=sys.stderr)  # noqa: T201


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print a value as indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())  # noqa: T201


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a table; markup in them is shown, not obeyed."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console().print(table)
