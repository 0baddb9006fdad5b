"""What `sparsebench train` prints: experiments, results beside what was published, parity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.accuracy_files import load_trainings, versions
from bench.cli.output import print_json, print_table, say
from bench.results.accuracy import AccuracyRun
from bench.training.parity import TOLERANCE, Parity
from reports import words
from reports.accuracy.table import compared_with, table
from suites.accuracy.entry import Entry
from suites.accuracy.experiments import entries

NAMED = 5
"""Broken samples whose names are said."""


def print_experiments(*, as_json: bool) -> None:
    """Print every experiment, with what trains it and what others have published."""
    if as_json:
        print_json([_described(entry) for entry in entries()])
        return
    rows = [
        {
            "name": entry.full.name,
            "description": entry.full.description,
            "implementation": entry.full.implementation,
            "epochs": f"{entry.full.schedule.epochs}",
            "small": f"{entry.small.schedule.epochs}",
            "published test error": "; ".join(
                f"{each.error_percent:g} % ({each.origin})" for each in entry.full.published
            ),
        }
        for entry in entries()
    ]
    print_table("Accuracy experiments", rows)


def _described(entry: Entry) -> dict[str, Any]:
    """An experiment for a program: numbers are numbers."""
    return {
        "name": entry.full.name,
        "description": entry.full.description,
        "implementation": entry.full.implementation,
        "epochs": entry.full.schedule.epochs,
        "small_epochs": entry.small.schedule.epochs,
        "published": entry.full.published,
    }


def print_runs(paths: list[Path]) -> None:
    """Print accuracy run files beside what was published, as Markdown."""
    for line in table(load_trainings(paths), versions()):
        print(line)  # noqa: T201


def print_parity(experiment: str, found: Sequence[Parity], dtype: str) -> None:
    """Print how far the losses of implementations lie from the first one's."""
    rows = [
        {
            "implementation": each.implementation,
            "first loss": f"{each.losses[0]:.6f}",
            "last loss": f"{each.losses[-1]:.6f}",
            "largest relative difference": f"{each.difference:.1e} in step {each.step}",
            "within tolerance": "yes" if each.agrees else "no",
        }
        for each in found
    ]
    title = f"{experiment}: losses of the first {len(found[0].losses)} steps, {dtype}"
    print_table(f"{title}; tolerance {TOLERANCE[dtype]:g}", rows)


def say_left_out(names: Sequence[str]) -> None:
    """Say how many broken samples a training leaves out, and the first names."""
    first = words.listed(map(words.label, names), NAMED + 1)
    say(f"left out: {words.count(len(names), 'broken sample')} ({first})")


def print_summary(trained: AccuracyRun, target: Path) -> None:
    """Print what a training reached, and where it was written."""
    last = trained.epochs[-1]
    published = "".join(
        f"; published: {each.error_percent:g} % ({each.origin})" for each in compared_with(trained)
    )
    print(  # noqa: T201
        f"{trained.settings.experiment}{' (small)' if trained.settings.small else ''}, "
        f"{trained.settings.implementation}: test error {100 * last.test_error:.2f} % after "
        f"{words.count(last.number, 'epoch')} and {trained.train_seconds:,.0f} s of training{published}"
    )
    for name, error in trained.also_tested.items():
        print(f"tested at {name}: {100 * error:.2f} %")  # noqa: T201
    print(f"written: {target}")  # noqa: T201
