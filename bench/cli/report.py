"""`sparsebench report`: one page, or a table, from run files."""

import argparse
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from bench.baseline import BASELINE
from bench.cli.accuracy_files import (
    accuracy_page,
    accuracy_pages,
    accuracy_section,
    load_trainings,
    split,
)
from bench.cli.files import refuse_foreign, say_written, write
from bench.errors import ForeignFileError, UserError

if TYPE_CHECKING:
    from markupsafe import Markup

    from bench.results.accuracy import AccuracyRun
    from bench.results.schema import Run

TRACKERS = {
    "bencher": "Bencher (its Metric Format)",
    "github-action": "github-action-benchmark (customSmallerIsBetter)",
    "pytest-benchmark": "`pytest-benchmark compare`",
}
PAGES = ("html", "pdf", "compare", "gallery")
OF_RUNS = ("html", "pdf")
ENDINGS = {"": "html", ".html": "html", ".htm": "html"} | {
    ".csv": "csv",
    ".md": "markdown",
    ".pdf": "pdf",
}
"""Of the forms that a file's name alone asks for."""
PAIR = 2


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "report",
        help="make a page of one or more run files",
        description="Make one HTML page of run files: verdicts in words, ratios with intervals, "
        "break-even densities, what lies inside every timed region, and what was not measured. The "
        "page needs no network, and says everything without its script. Runs of several machines "
        "stand side by side, and are not compared. Accuracy run files of `sparsebench train` give the "
        "page a section, or a page of their own.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run file or .partial")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="default: beside the first run file, with --compare beside the second; .csv, .md and "
        ".pdf mean --csv, --markdown and --pdf",
    )
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help=f"baseline of the ratios (default: {BASELINE})",
    )
    parser.add_argument(
        "--history",
        metavar="STORE",
        help="archive of `sparsebench history`, a folder or URL: the page also tells where its cells "
        "stepped up or down on this machine",
    )
    forms = parser.add_mutually_exclusive_group()
    for form, meaning in (
        ("pdf", "the page as PDF, printed by Chromium"),
        ("compare", "a page of what changed from the first run to the second"),
        ("gallery", "a page for each run, in the folder of -o, and an index.html that links them"),
        ("markdown", "what to use, findings and ratios as Markdown; without -o to standard output"),
        ("csv", "one line per cell as CSV; without -o to standard output"),
        *(
            (form, f"all times as JSON for {reader}; without -o to standard output")
            for form, reader in TRACKERS.items()
        ),
    ):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=meaning)
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.set_defaults(run=_report, form=None)


def _report(arguments: argparse.Namespace) -> int:
    form = arguments.form = arguments.form or _form_of(arguments.output)
    _check_form(arguments)
    arguments.baseline = arguments.baseline or BASELINE
    if form == "gallery":
        return _gallery(arguments)
    measured, trained = split(arguments.runs)
    if trained and form not in OF_RUNS:
        raise UserError(
            f"{trained[0]} is an accuracy run file, which a page can show and --{form} cannot"
        )
    loaded, trainings = [_load(path) for path in measured], load_trainings(trained)
    if form == "compare" and len(loaded) != PAIR:
        raise UserError(f"--compare takes two run files, not {len(loaded)}")
    target: Path | None = arguments.output
    if target is None and form in PAGES:
        target = _beside(arguments.runs[-1 if form == "compare" else 0], form)
    if target is not None:
        refuse_foreign(target, _marker(form), f"{form} report")
    if form == "pdf" and target is not None:
        _print(_page(loaded, trainings, arguments), target)
    else:
        text = _text(loaded, trainings, arguments)
        if target is None:
            print(text, end="")  # noqa: T201
            return 0
        write(target, text)
    say_written(target)
    if arguments.open:
        webbrowser.open(target.resolve().as_uri())
    return 0


def _load(path: Path) -> "Run":
    """Read a run file; one without cells makes a report that shows nothing, which is said."""
    from bench.cli.output import say  # noqa: PLC0415
    from bench.results.store import load  # noqa: PLC0415

    run = load(path)
    if not run.cells:
        say(f"{path} holds no cells: nothing was measured")
    return run


def _form_of(output: Path | None) -> str:
    """The form that a file's name asks for: a page where it asks for none.

    Raises:
        UserError: if it asks for JSON, of which there are several forms, or for what no report is.
    """
    ending = "" if output is None else output.suffix.lower()
    if ending == ".json":
        raise UserError(
            f"{output} would be a page: say {', '.join(f'--{name}' for name in TRACKERS)}"
        )
    form = ENDINGS.get(ending)
    if form is None and not ending[1:].isalpha():
        return "html"  # as in `-o of-version-1.2`
    if form is None:
        raise UserError(f"{output}: a report is written as {', '.join(filter(None, ENDINGS))}")
    return form


def _check_form(arguments: argparse.Namespace) -> None:
    """Raise a UserError for options that the form has no use for."""
    if arguments.open and arguments.form not in PAGES:
        raise UserError(f"--open shows a page: leave out --{arguments.form}")
    if arguments.history is not None and arguments.form not in OF_RUNS:
        raise UserError(f"--history is a section of the page of runs: leave out --{arguments.form}")
    if arguments.baseline is not None and arguments.form in {"compare", *TRACKERS}:
        raise UserError(f"--{arguments.form} has no ratios to a baseline: leave out --baseline")


def _page(
    loaded: "list[Run]", trainings: "list[AccuracyRun]", arguments: argparse.Namespace
) -> str:
    """The page of these runs and trainings, with the runs' history where one was named."""
    if not loaded:
        if arguments.history is not None:
            raise UserError("--history needs measured runs, but only accuracy run files were given")
        return accuracy_page(trainings)
    from reports.joining import join, origins  # noqa: PLC0415
    from reports.page import NO_SECTION, render  # noqa: PLC0415

    run = join(loaded)
    _check_baseline(run, arguments.baseline)
    history = NO_SECTION if arguments.history is None else _history(loaded, arguments.history)
    trained = accuracy_section(trainings)
    return render(run, arguments.baseline, history, trained, origins(loaded))


def _history(loaded: "list[Run]", store: str) -> "Markup":
    from bench.cli.history import open_archive  # noqa: PLC0415

    archive = open_archive(store)
    from reports.history.section import section  # noqa: PLC0415

    return section(loaded, archive)


def _text(
    loaded: "list[Run]", trainings: "list[AccuracyRun]", arguments: argparse.Namespace
) -> str:
    form, baseline = arguments.form, arguments.baseline
    if form == "html":
        return _page(loaded, trainings, arguments)
    if form == "compare":
        from bench.second_measurement import compare_measured  # noqa: PLC0415
        from reports.changes_page import render as render_changes  # noqa: PLC0415

        return render_changes(compare_measured(*loaded))
    from reports.joining import join  # noqa: PLC0415

    run = join(loaded)
    if form in TRACKERS:
        from reports import trackers  # noqa: PLC0415

        writers = {
            "bencher": trackers.to_bencher,
            "github-action": trackers.to_github_action,
            "pytest-benchmark": trackers.to_pytest_benchmark,
        }
        return writers[form](run)
    _check_baseline(run, baseline)
    from reports.exports import to_csv, to_markdown  # noqa: PLC0415

    return to_markdown(run, baseline) if form == "markdown" else to_csv(loaded, baseline)


def _check_baseline(run: "Run", baseline: str) -> None:
    """Raise a UserError for a baseline that no run knows; the usual one may be missing."""
    names = {record.name for record in run.header.implementations}
    names |= {cell.implementation for cell in run.cells}
    if baseline not in {*names, BASELINE}:
        raise UserError(f"no implementation {baseline!r} in the run: {', '.join(sorted(names))}")


def _print(text: str, target: Path) -> None:
    """Print a page as PDF."""
    from bench.cli.browser import print_page  # noqa: PLC0415
    from bench.temporary import TemporaryFolder  # noqa: PLC0415

    with TemporaryFolder("sparsebench-page-") as folder:
        page = folder / "page.html"
        write(page, text)
        print_page(page, target)


def _gallery(arguments: argparse.Namespace) -> int:
    """Write a page for every run of these files and folders, and one that leads to them.

    Accuracy run files of one folder share a page.
    """
    from bench.cli.output import say  # noqa: PLC0415
    from reports import gallery  # noqa: PLC0415
    from reports.page import render  # noqa: PLC0415

    if arguments.output is None:
        raise UserError("--gallery writes many pages: name their folder with -o")
    folder: Path = arguments.output
    paths, trained = split(
        found
        for path in arguments.runs
        for found in (sorted(path.rglob("*.json")) if path.is_dir() else [path])
    )
    names = [f"{path.resolve().parent.name}-{path.stem}.html" for path in paths]
    if len(set(names)) < len(names):
        raise UserError("two run files have the same name, in folders of the same name: rename one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}") from error
    index = folder / "index.html"
    refuse_foreign(index, _marker("gallery"), "gallery")
    pictures = []
    for path, name in zip(paths, names, strict=True):
        try:
            run = _load(path)
        except ForeignFileError as error:
            if path in arguments.runs:
                raise
            say(f"left out: {error}")  # folders hold other files, too
            continue
        _check_baseline(run, arguments.baseline)
        refuse_foreign(folder / name, _marker("html"), "html report")
        write(folder / name, render(run, arguments.baseline))
        pictures.append(gallery.picture(run, name, arguments.baseline))
    for name, page, picture in accuracy_pages(trained):
        refuse_foreign(folder / name, _marker("html"), "html report")
        write(folder / name, page)
        pictures.append(picture)
    write(index, gallery.render(pictures))
    print(f"written: {index}")  # noqa: T201
    if arguments.open:
        webbrowser.open(index.resolve().as_uri())
    return 0


def page_beside(run_file: Path) -> Path:
    """Where the page of a run file is written that is made with it.

    Raises:
        UserError: if that is the run file itself, or something else than a page of ours.
    """
    page = run_file.with_suffix(".html")
    if page == run_file:
        raise UserError(f"{run_file} is the name of --report's page: call the run file .json")
    refuse_foreign(page, _marker("html"), "html report")
    return page


def write_page(run: "Run", run_file: Path) -> Path:
    """Write a run's page, and return where it is.

    Raises:
        UserError: if something else than a page of ours is there, or it cannot be written.
    """
    from reports.page import render  # noqa: PLC0415

    target = page_beside(run_file)
    write(target, render(run))
    return target


def _beside(run_file: Path, form: str) -> Path:
    """Name of the page of a run file, or of an unfinished run's journal."""
    ending = {"pdf": ".pdf", "compare": ".compared.html"}.get(form, ".html")
    return run_file.with_name(run_file.name.removesuffix(".partial")).with_suffix(ending)


def _marker(form: str) -> bytes | None:
    """What a file of this form has near its start."""
    if form in TRACKERS:
        return None
    if form == "pdf":
        # Chromium begins with the page's title, which is no ASCII, and so in UTF-16.
        return "sparsebench".encode("utf-16-be").hex().upper().encode()
    if form == "csv":
        from reports.exports import CSV_MARKER  # noqa: PLC0415

        return CSV_MARKER.encode()
    from reports import markers  # noqa: PLC0415

    of_form = {
        "html": markers.REPORT,
        "compare": markers.COMPARISON,
        "gallery": markers.GALLERY,
        "markdown": markers.MARKDOWN,
    }
    return of_form[form].encode()
