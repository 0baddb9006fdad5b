"""`sparsebench compare BASE HEAD`: what became faster or slower between two runs."""

import argparse
import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.comparison import Changes
    from bench.results.schema import Run

EXIT_CODES = (
    "Exit code: 0 if a slowdown of 5 % is ruled out everywhere, 1 if a cell is slower, or all of an "
    "implementation's together, 3 if too little is known to say, 4 if an implementation fails in HEAD "
    "that passed in BASE, 2 for files that cannot be read."
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare", help="compare two runs", description=__doc__, epilog=EXIT_CODES
    )
    for name in ("base", "head"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="run file, or a quoted pattern whose files are merged",
        )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="for a pull request's comment")
    forms.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--all", action="store_true", help="list every cell")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    from bench.second_measurement import compare_measured  # noqa: PLC0415

    changes = compare_measured(_load(arguments.base), _load(arguments.head))
    print_changes(
        changes, as_json=arguments.json, markdown=arguments.markdown, everything=arguments.all
    )
    return changes.exit_code


def print_changes(changes: "Changes", *, as_json: bool, markdown: bool, everything: bool) -> None:
    """Print a comparison: as text, or in one of the other forms."""
    if as_json:
        _print_json(changes)
    elif markdown:
        from reports.changes import to_markdown  # noqa: PLC0415

        print(to_markdown(changes), end="")  # noqa: T201
    else:
        _print_text(changes, everything=everything)


def _load(pattern: str) -> "Run":
    """Read one run file, or all that match a pattern, merged in the order of their starts.

    Raises:
        UserError: if nothing matches, a file cannot be read, or machines differ.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.results.store import load, merge  # noqa: PLC0415

    if Path(pattern).exists() or not glob.has_magic(pattern):
        return load(Path(pattern))
    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  # may be absolute
    if not paths:
        raise UserError(f"no file matches {pattern}")
    runs = [load(Path(path)) for path in paths]
    return merge(sorted(runs, key=lambda run: run.header.started))


def _print_text(changes: "Changes", *, everything: bool) -> None:
    from bench.cli.output import print_table  # noqa: PLC0415
    from reports import changes as told  # noqa: PLC0415
    from reports import words  # noqa: PLC0415

    print(told.headline(changes))  # noqa: T201
    if families := told.families(changes):
        print_table("Geometric means", families)
    if broken := told.missing(changes) if everything else told.missing_together(changes):
        shown = broken if everything else broken[: told.SHOWN]
        print_table("Without a time now", shown)
        if len(broken) > len(shown):
            rest = words.count(len(broken) - len(shown), "more row")
            print(f"{rest} of these: --all lists every cell")  # noqa: T201
    cells = list(changes.compared) if everything else told.notable(changes)[: told.SHOWN]
    if cells:
        print_table("Cells" if everything else "Largest changes", told.rows(cells))
    hidden = len(changes.compared) - len(cells)
    if hidden:
        print(f"{words.count(hidden, 'more cell')}: --all lists them")  # noqa: T201
    for line in told.left_out(changes):
        print(f"not compared: {line}")  # noqa: T201
    for doubt in told.doubts(changes):
        print(f"doubt: {doubt}")  # noqa: T201
    print(told.caveat(changes))  # noqa: T201


def _print_json(changes: "Changes") -> None:
    from bench.cli.output import print_json  # noqa: PLC0415
    from reports.changes import doubts, headline  # noqa: PLC0415

    print_json(
        {
            "headline": headline(changes),
            "exit_code": changes.exit_code,
            "doubts": doubts(changes),
            "in_lock_step": changes.in_lock_step,
            "base": _side(changes.base),
            "head": _side(changes.head),
            "families": changes.families,
            "cells": changes.cells,
        }
    )


def _side(run: "Run") -> dict[str, object]:
    """Which run it is, of which code, and how its GPU fared."""
    gpu = {unit.workload.name: unit.gpu for unit in run.units if unit.gpu is not None}
    header = run.header
    return {
        "id": header.id,
        "commit": header.commit,
        "implementation_commits": header.commits,
        "gpu": gpu,
    }
