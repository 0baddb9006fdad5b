"""Accuracy run files among those that `sparsebench report` is given."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from markupsafe import Markup

    from bench.results.accuracy import AccuracyRun
    from reports.accuracy.table import Versions
    from reports.gallery import Picture


def split(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Tell run files of times from those of accuracy."""
    from bench.results.accuracy import is_accuracy  # noqa: PLC0415

    measured: list[Path] = []
    trained: list[Path] = []
    for path in paths:
        (trained if is_accuracy(path) else measured).append(path)
    return measured, trained


def load_trainings(paths: Sequence[Path]) -> "list[AccuracyRun]":
    """Read accuracy run files.

    Raises:
        UserError: if two are the same run.
    """
    from bench.results.accuracy import load  # noqa: PLC0415

    runs: dict[str, tuple[Path, AccuracyRun]] = {}
    for path in paths:
        run = load(path)
        if run.id in runs:
            raise UserError(f"{path} and {runs[run.id][0]} are the same run: name one of them")
        runs[run.id] = (path, run)
    return [run for _, run in runs.values()]


def accuracy_section(runs: "Sequence[AccuracyRun]") -> "Markup":
    """Make the section of a page; nothing without runs."""
    from reports.accuracy.section import section  # noqa: PLC0415

    return section(runs, versions() if runs else {})


def accuracy_page(runs: "Sequence[AccuracyRun]") -> str:
    """Make a page of accuracy alone."""
    from reports.accuracy.page import render  # noqa: PLC0415

    return render(runs, versions())


def accuracy_pages(paths: Sequence[Path]) -> "list[tuple[str, str, Picture]]":
    """Make a page for each folder of accuracy run files: its name, itself, and its summary."""
    from reports.accuracy.page import picture  # noqa: PLC0415

    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    pages: list[tuple[str, str, Picture]] = []
    for folder, members in folders.items():
        runs = load_trainings(members)
        title = folder.resolve().name
        name = f"{title}-trained.html"
        if name in {other for other, _, _ in pages}:
            raise UserError(f"two folders of accuracy run files are called {title}")
        pages.append((name, accuracy_page(runs), picture(runs, name, title)))
    return pages


def versions() -> "Versions":
    """Compute today's versions of all experiments."""
    from suites.accuracy.experiments import entries  # noqa: PLC0415

    return {entry.full.name: (entry.full.version(), entry.small.version()) for entry in entries()}
