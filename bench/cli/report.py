"""`sparsebench report`: one page, or a table, from run files."""

import argparse
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.files import refuse_foreign, write
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.results.schema import Run

TRACKERS = {
    "bencher": "Bencher (its Metric Format)",
    "github-action": "github-action-benchmark (customSmallerIsBetter)",
    "pytest-benchmark": "`pytest-benchmark compare`",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "report",
        help="make a page of one or more run files",
        description="Make one HTML page of run files of the same machine: verdicts in words, ratios "
        "with intervals, break-even densities, what lies inside every timed region, and what was not "
        "measured. The page needs neither network nor scripts.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run file or .partial")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="default: beside the first run file"
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--markdown",
        dest="form",
        action="store_const",
        const="markdown",
        help="the speed table as Markdown; without -o to standard output",
    )
    forms.add_argument(
        "--csv",
        dest="form",
        action="store_const",
        const="csv",
        help="one line a cell as CSV; without -o to standard output",
    )
    for form, reader in TRACKERS.items():
        forms.add_argument(
            f"--{form}",
            dest="form",
            action="store_const",
            const=form,
            help=f"all times as JSON for {reader}; without -o to standard output",
        )
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.set_defaults(run=_report, form="html")


def _report(arguments: argparse.Namespace) -> int:
    from bench.results.store import load, merge  # noqa: PLC0415

    if arguments.open and arguments.form != "html":
        raise UserError(f"--open shows a page: leave out --{arguments.form}")
    loaded = [load(path) for path in arguments.runs]
    run = loaded[0] if len(loaded) == 1 else merge(loaded)
    target: Path | None = arguments.output
    if target is None and arguments.form == "html":
        target = _beside(arguments.runs[0])
    if target is not None:
        refuse_foreign(target, _marker(arguments.form), f"{arguments.form} report")
    text = _text(run, arguments.form)
    if target is None:
        print(text, end="")  # noqa: T201
        return 0
    write(target, text)
    print(f"written: {target}")  # noqa: T201
    if arguments.open:
        webbrowser.open(target.resolve().as_uri())
    return 0


def _text(run: "Run", form: str) -> str:
    if form in TRACKERS:
        from reports import trackers  # noqa: PLC0415

        writers = {
            "bencher": trackers.to_bencher,
            "github-action": trackers.to_github_action,
            "pytest-benchmark": trackers.to_pytest_benchmark,
        }
        return writers[form](run)
    if form == "html":
        from reports.page import render  # noqa: PLC0415

        return render(run)
    from reports.exports import to_csv, to_markdown  # noqa: PLC0415

    return to_markdown(run) if form == "markdown" else to_csv(run)


def write_page(run: "Run", target: Path) -> Path:
    """Write a run's page, and return where it is.

    Raises:
        UserError: if the target is something else than a page of ours, or cannot be written.
    """
    from reports.page import render  # noqa: PLC0415

    refuse_foreign(target, _marker("html"), "html report")
    write(target, render(run))
    return target


def _beside(run_file: Path) -> Path:
    """Name of the page of a run file, or of an unfinished run's journal."""
    return run_file.with_name(run_file.name.removesuffix(".partial")).with_suffix(".html")


def _marker(form: str) -> bytes | None:
    from reports.exports import CSV_COLUMNS, MARKDOWN_MARKER  # noqa: PLC0415

    if form in TRACKERS:
        return None
    if form == "html":
        return b'<meta name="generator" content="sparsebench">'
    return (MARKDOWN_MARKER if form == "markdown" else ",".join(CSV_COLUMNS)).encode()
