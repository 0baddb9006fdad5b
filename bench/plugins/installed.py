"""Where implementations and suites are installed, as plain data: nothing of them is imported here."""

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from bench.errors import UserError
from bench.plugins.files import existing, names_file

IMPLEMENTATIONS = "sparsebench.implementations"
SUITES = "sparsebench.suites"
NAME = re.compile(r"[\w.+-]+")
"""Of an implementation or suite: options list names between commas, tables have one in a line."""


@dataclass(frozen=True)
class Reference:
    """Where an implementation is found, as plain data that another process can follow.

    Attributes:
        name: the implementation's name.
        source: an entry point's value (`package.module:Class`), or the path of a file.
        is_file: whether `source` is a path.
    """

    name: str
    source: str
    is_file: bool = False


@dataclass(frozen=True)
class Broken:
    """An installed plug-in that cannot be used, and why."""

    name: str
    source: str
    error: str


def installed_entries(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name, in the order of names; loading one imports its module.

    Raises:
        UserError: if two of them share a name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UserError(
                f"two {group} are called {entry.name!r}: {other.value} and {entry.value}; uninstall one"
            )
    return found


def likely_references(wanted: list[str] | None) -> tuple[Reference, ...]:
    """Name the installed implementations that are probably meant; none is looked at."""
    known = installed_entries(IMPLEMENTATIONS)
    return tuple(
        Reference(name, entry.value) for name, entry in known.items() if name in (wanted or known)
    )


def suite_source(given: str) -> str:
    """What any process finds a suite by: its name, or the absolute path of its file.

    Raises:
        UserError: if there is no such file, or no other process can be told its name.
    """
    return str(existing(Path(given), "suite file")) if names_file(given) else given


def suite_modules(source: str) -> tuple[str, ...]:
    """Name what is to be imported early for a suite, by its source; of a file, nothing.

    Raises:
        UserError: if there is no suite of that name.
    """
    return () if names_file(source) else (suite_entry(source).module,)


def suite_entry(name: str) -> EntryPoint:
    """Return the entry point of a suite.

    Raises:
        UserError: if there is none of that name.
    """
    known = installed_entries(SUITES)
    if name not in known:
        raise UserError(f"unknown suite {name!r}; the suites are {', '.join(known)}")
    return known[name]
