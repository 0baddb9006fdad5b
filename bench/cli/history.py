"""`sparsebench history`: what an archive of runs says, machine by machine, and where times stepped."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.quantities import positive
from bench.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.history.series import History

STORE = "history"
LAST = 10
EXIT_CODES = (
    "Exit code of alerts: 0 if nothing became slower recently, 1 if something did, 3 if there are too "
    "few runs to say, 4 if a cell lost its time, 2 for an archive that cannot be read."
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command and its three verbs."""
    parser = commands.add_parser(
        "history",
        help="follow times over many runs",
        description="An archive of run files, in a folder or a bucket, and the steps in it. Runs of "
        "different machines, thread counts or versions of a workload are never mixed.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add = verbs.add_parser("add", help="put run files into the archive")
    add.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run file")
    add.set_defaults(run=_add)
    show = verbs.add_parser("show", help="the series, those that changed most first")
    show.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="write an HTML page instead"
    )
    show.add_argument("--open", action="store_true", help="show the page in the browser")
    show.add_argument("--json", action="store_true", help="machine-readable")
    show.set_defaults(run=_show)
    alerts = verbs.add_parser(
        "alerts", help="what changed recently", description=__doc__, epilog=EXIT_CODES
    )
    alerts.add_argument(
        "--last",
        type=positive,
        default=LAST,
        help="how many of each machine's latest runs count as recent (default: %(default)s)",
    )
    alerts.add_argument(
        "--new",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="only what the archive does not show without these run files, which are in it: what "
        "was told before is not told again",
    )
    forms = alerts.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="for an issue or a comment")
    forms.add_argument("--json", action="store_true", help="machine-readable")
    alerts.set_defaults(run=_alerts)
    for verb in (add, show, alerts):
        verb.add_argument(
            "--store",
            default=STORE,
            metavar="URL",
            help="folder, or URL that fsspec opens, such as s3://bucket/path (default: %(default)s)",
        )
    for verb in (show, alerts):
        for name in ("impl", "workload", "phase", "machine"):
            verb.add_argument(f"--{name}", metavar="PATTERNS", help="names, * and ? allowed")
        verb.add_argument(
            "--commit-url",
            action="append",
            default=[],
            metavar="[IMPL=]URL",
            help="of a commit of sparsebench, or of the repository of an implementation, with {commit} "
            "in it; may be repeated (default: from the git remote `origin`, of those that are here)",
        )


def _add(arguments: argparse.Namespace) -> int:
    archive = open_archive(arguments.store)
    for path in arguments.runs:
        print(f"{path} is {archive.add(path)} in {arguments.store}")  # noqa: T201
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from bench.errors import UserError  # noqa: PLC0415

    is_page = arguments.output is not None or arguments.open
    if is_page and arguments.json:
        raise UserError("--json goes to standard output: leave out -o and --open")
    history = _read(arguments)
    if is_page:
        return _page(arguments, history)
    if arguments.json:
        _print_json(history)
        return 0
    from bench.cli.output import print_table  # noqa: PLC0415
    from reports.history import sentences as told  # noqa: PLC0415

    print(told.headline(history))  # noqa: T201
    rows = told.rows(history)
    print_table("Series", rows[: told.SHOWN])
    if len(rows) > told.SHOWN:
        print(f"{len(rows) - told.SHOWN} more: -o PAGE.html draws them all")  # noqa: T201
    _print_skipped(history)
    return 0


def _page(arguments: argparse.Namespace, history: "History") -> int:
    import webbrowser  # noqa: PLC0415

    from bench.cli.commit_links import commit_links  # noqa: PLC0415
    from bench.cli.files import refuse_foreign, say_written, write  # noqa: PLC0415
    from reports import markers  # noqa: PLC0415
    from reports.history.page import render  # noqa: PLC0415

    target = arguments.output or Path("history.html")
    refuse_foreign(target, markers.HISTORY.encode(), "history page")
    write(target, render(history, commit_links(arguments.commit_url, history)))
    say_written(target)
    if arguments.open:
        webbrowser.open(target.resolve().as_uri())
    return 0


def _alerts(arguments: argparse.Namespace) -> int:
    history = _read(arguments)
    from bench.cli.commit_links import commit_links  # noqa: PLC0415
    from bench.history.events import breakages, events, new_breakages, news, recent  # noqa: PLC0415
    from bench.history.steps import FEWEST_RUNS  # noqa: PLC0415
    from reports.history import sentences as told  # noqa: PLC0415

    found, broken = events(history), breakages(history)
    if arguments.new is not None:
        earlier = _without(history, arguments.new)
        found, broken = news(earlier, found), new_breakages(earlier, broken)
    else:
        lately = recent(history, arguments.last)
        found = [event for event in found if event.after.name in lately]
        broken = [each for each in broken if each.since.name in lately]
    if arguments.json:
        from bench.cli.output import print_json  # noqa: PLC0415

        print_json({"events": found, "breakages": broken, "skipped": history.skipped})
    else:
        links = commit_links(arguments.commit_url, history)
        write = told.alerts_markdown if arguments.markdown else told.alerts_text
        print(write(history, found, broken, links), end="")  # noqa: T201
        _print_skipped(history)
    if broken:
        return ExitCode.WRONG
    if any(event.is_slower and event.own for event in found):
        return ExitCode.SLOWER
    known = any(len(series.points) >= FEWEST_RUNS for series in history.series)
    return ExitCode.FINE if known else ExitCode.UNKNOWN


def _without(history: "History", paths: "Sequence[Path]") -> "History":
    """A history as it was before some run files joined it.

    Raises:
        UserError: if one is not in it.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.history.archive import name_of  # noqa: PLC0415
    from bench.history.series import without  # noqa: PLC0415

    names = {name_of(path): path for path in paths}
    for name, path in names.items():
        if name not in {run.name for run in history.runs}:
            raise UserError(f"{path} is not in the archive: `sparsebench history add` adds it")
    return without(history, set(names))


def _read(arguments: argparse.Namespace) -> "History":
    from bench.cli.names import split  # noqa: PLC0415

    archive = open_archive(arguments.store)
    from bench.history.series import read  # noqa: PLC0415

    asked = {
        "implementation": arguments.impl,
        "workload": arguments.workload,
        "phase": arguments.phase,
        "machine": arguments.machine,
    }
    # A machine's name has commas of its own.
    patterns: dict[str, Sequence[str]] = {
        name: [value] if name == "machine" else split(value) or []
        for name, value in asked.items()
        if value is not None
    }
    return read(archive, patterns)


def open_archive(url: str) -> Any:  # noqa: ANN401  # the class is an extra's
    """Open an archive of runs.

    Raises:
        UserError: if the libraries that it takes are missing.
    """
    from bench.errors import UserError  # noqa: PLC0415

    try:
        from bench.history import series, steps  # noqa: F401, PLC0415
        from bench.history.archive import Archive  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"history needs {error.name}: python -m pip install -e '.[history]' in the checkout"
        ) from error
    return Archive(url)


def _print_json(history: "History") -> None:
    from bench.cli.output import print_json  # noqa: PLC0415

    print_json(
        {
            "runs": history.runs,
            "series": [
                {"series": series, "steps": steps}
                for series, steps in zip(history.series, history.steps, strict=True)
            ],
            "skipped": history.skipped,
        }
    )


def _print_skipped(history: "History") -> None:
    from reports import words  # noqa: PLC0415

    if history.skipped:
        print(f"left out: {words.count(len(history.skipped), 'file')}")  # noqa: T201
    for each in history.skipped:
        print(f"  {each.name}: {each.reason}")  # noqa: T201
