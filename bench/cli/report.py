"""`sparsebench report`: one page, or a table, from run files."""

import argparse
import os
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.results.schema import Run

TRACKERS = {
    "bencher": "Bencher (its Metric Format)",
    "github-action": "github-action-benchmark (customSmallerIsBetter)",
    "pytest-benchmark": "`pytest-benchmark compare`",
}
MARKER_BYTES = 4096
"""How far into a file its marker is looked for."""


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
        _refuse_foreign(target, arguments.form)
    text = _text(run, arguments.form)
    if target is None:
        print(text, end="")  # noqa: T201
        return 0
    _write(target, text)
    print(f"written: {target}")  # noqa: T201
    if arguments.open:
        webbrowser.open(target.resolve().as_uri())
    return 0


def _text(run: "Run", form: str) -> str:
    if form in TRACKERS:
        from reports import trackers  # noqa: PLC0415

        write = {
            "bencher": trackers.to_bencher,
            "github-action": trackers.to_github_action,
            "pytest-benchmark": trackers.to_pytest_benchmark,
        }
        return write[form](run)
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

    _refuse_foreign(target, "html")
    _write(target, render(run))
    return target


def _beside(run_file: Path) -> Path:
    """Name of the page of a run file, or of an unfinished run's journal."""
    return run_file.with_name(run_file.name.removesuffix(".partial")).with_suffix(".html")


def _refuse_foreign(target: Path, form: str) -> None:
    """Make sure that only a report of ours is overwritten.

    Raises:
        UserError: if the target is a folder, something else than a report, or cannot be read.
    """
    if target.is_dir():
        raise UserError(f"{target} is a folder: name a file, such as {target / 'report.html'}")
    try:
        with target.open("rb") as stream:
            head = stream.read(MARKER_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"cannot look at {target}: {error.strerror}") from error
    if head and (form in TRACKERS or _marker(form) not in head):
        raise UserError(
            f"{target} exists and is no sparsebench {form} report: name another file with -o"
        )


def _marker(form: str) -> bytes:
    from reports.exports import CSV_COLUMNS, MARKDOWN_MARKER  # noqa: PLC0415

    if form == "html":
        return b'<meta name="generator" content="sparsebench">'
    return (MARKDOWN_MARKER if form == "markdown" else ",".join(CSV_COLUMNS)).encode()


def _write(target: Path, text: str) -> None:
    """Write a file completely or not at all.

    Raises:
        UserError: if the folder is missing or cannot be written to.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
