"""Finds suites: by entry point, or by the path of their file."""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path

from bench.errors import UserError, kind_and_line, kind_line_and_place
from bench.plugins.files import import_file, is_imported, names_file, same_folder
from bench.plugins.installed import NAME, SUITES, installed_entries, suite_entry, suite_source
from bench.plugins.trial import how_it_ends
from bench.workload import Suite, Workload

SUITE = "SUITE"
"""The suite's name in its file."""


def load_suite(given: str) -> Suite:
    """Load a suite by its name, or by the path of a file that assigns one to `SUITE`.

    Its workloads are made now, once.

    Raises:
        UserError: if there is none, or it cannot be loaded, or its workloads cannot be made or told
            apart.
    """
    if names_file(given):
        path = Path(suite_source(given))
        if not is_imported(path):
            ending = how_it_ends(lambda: _from_file(path).workloads())
            if ending is not None:
                raise UserError(f"suite file {path}: the process that tries it {ending}")
        suite = _from_file(path)
    else:
        suite = _installed(given)
    made = _checked_workloads(suite)
    return replace(suite, workloads=lambda: made)


@cache
def known_suite(source: str) -> Suite:
    """Load a suite by its `source`, once for a process and those that are forked from it.

    Raises:
        UserError: as `load_suite` does.
    """
    return load_suite(source)


def _installed(name: str) -> Suite:
    entry = suite_entry(name)
    try:
        with redirect_stdout(sys.stderr), same_folder():
            suite = entry.load()
    except (Exception, SystemExit) as error:
        raise UserError(f"suite {name!r} cannot be loaded: {kind_and_line(error)}") from error
    if not isinstance(suite, Suite):
        raise UserError(f"suite {name!r}: {entry.value} is not a bench.workload.Suite")
    if suite.name != name:
        raise UserError(
            f"suite {name!r}: {entry.value} calls itself {suite.name!r}, its entry point {name!r}"
        )
    return suite


def _from_file(path: Path) -> Suite:
    suite = getattr(import_file(path, "suite file"), SUITE, None)
    if not isinstance(suite, Suite):
        raise UserError(f"suite file {path} has no `{SUITE} = bench.workload.Suite(...)`")
    if not (isinstance(suite.name, str) and NAME.fullmatch(suite.name)):
        raise UserError(
            f"suite file {path} calls its suite {suite.name!r}; a name has letters, digits, `_`, "
            f"`-`, `.` and `+` only"
        )
    taken = installed_entries(SUITES)
    if suite.name in taken:
        raise UserError(
            f"suite file {path} calls its suite {suite.name!r}, and so does "
            f"{taken[suite.name].value}; rename it"
        )
    return replace(suite, file=str(path))


def _only_workloads(made: object) -> tuple[Workload, ...]:
    """What a suite made, if it made workloads.

    Raises:
        UserError: if it made anything else.
    """
    workloads = tuple(made) if isinstance(made, Iterable) else (made,)
    for each in workloads:
        if not isinstance(each, Workload):
            raise UserError(f"workloads() makes {each!r}, which is no bench.workload.Workload")
    return workloads


def _checked_workloads(suite: Suite) -> tuple[Workload, ...]:
    """Make a suite's workloads; what that prints goes to standard error.

    Raises:
        UserError: if it has none, cannot make them, or has two of a name.
    """
    name = suite.name
    try:
        with redirect_stdout(sys.stderr):
            workloads = _only_workloads(suite.workloads())
        names = [workload.name for workload in workloads]
        for workload in workloads:
            workload.version()  # refuses what cannot be written down
    except UserError as error:
        raise UserError(f"suite {name!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"suite {name!r} cannot make its workloads: {kind_line_and_place(error)}"
        ) from error
    if not names:
        raise UserError(f"suite {name!r} has no workloads")
    for each in names:
        if not isinstance(each, str) or "," in each or not each or each != each.strip():
            raise UserError(
                f"suite {name!r} has a workload called {each!r}; options list names between commas"
            )
    if len(set(names)) < len(names):
        repeated = next(each for each in names if names.count(each) > 1)
        raise UserError(f"suite {name!r} has two workloads called {repeated!r}; rename one")
    return workloads
