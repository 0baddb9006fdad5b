"""What happened between two runs of a machine: every series that stepped there, taken together."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.history.series import History, RunPoint, Series
from bench.history.steps import Step


@dataclass(frozen=True)
class Change:
    """A step of one series."""

    series: Series
    step: Step


@dataclass(frozen=True)
class Event:
    """All steps in one direction between the same two runs.

    Attributes:
        before: last run on the old level.
        after: first run on the new one.
        changes: the largest first.
        also: what else differs between the two runs, in words.
    """

    before: RunPoint
    after: RunPoint
    is_slower: bool
    changes: tuple[Change, ...]
    also: tuple[str, ...]


@dataclass(frozen=True)
class Breakage:
    """A cell that had times once and has none since a run."""

    series: Series
    since: RunPoint
    status: str


def events(history: History) -> list[Event]:
    """Return all events, the newest first, slowdowns before speed-ups."""
    found: dict[tuple[str, str, bool], list[Change]] = {}
    for series, step in _steps(history):
        before, after = history.run_of(series, step.at - 1), history.run_of(series, step.at)
        key = (before.name, after.name, step.is_slower)
        found.setdefault(key, []).append(Change(series, step))
    named = {run.name: run for run in history.runs}
    made = [
        _event(named[before], named[after], changes, is_slower=is_slower)
        for (before, after, is_slower), changes in found.items()
    ]
    newest = sorted(made, key=lambda event: event.is_slower, reverse=True)
    return sorted(newest, key=lambda event: event.after.name, reverse=True)


def breakages(history: History) -> list[Breakage]:
    """Return the cells that lost their time, the newest first."""
    found = [
        Breakage(series, history.runs[series.broken_since], series.statuses[-1])
        for series in history.series
        if series.broken_since is not None
    ]
    return sorted(found, key=lambda each: each.since.name, reverse=True)


def recent(history: History, last: int) -> set[str]:
    """Names of the last runs of each machine."""
    names: set[str] = set()
    for machine in {run.machine for run in history.runs}:
        own = [run.name for run in history.runs if run.machine == machine]
        names |= set(own[-last:])
    return names


def _steps(history: History) -> Iterator[tuple[Series, Step]]:
    for series, steps in zip(history.series, history.steps, strict=True):
        for step in steps:
            yield series, step


def _event(before: RunPoint, after: RunPoint, changes: list[Change], *, is_slower: bool) -> Event:
    largest = sorted(changes, key=lambda each: each.step.size.estimate, reverse=is_slower)
    also = []
    if before.libraries != after.libraries:
        also.append(f"libraries: {_difference(before.libraries, after.libraries)}")
    versions = {
        (each.series.key.implementation, old, new)
        for each in changes
        if (pair := _versions(each)) and (old := pair[0]) != (new := pair[1])
    }
    also += [f"{name} {old} became {new}" for name, old, new in sorted(versions)]
    return Event(before, after, is_slower, tuple(largest), tuple(also))


def _versions(change: Change) -> tuple[str, str]:
    """Version of the implementation before and after a step."""
    series, at = change.series, change.step.at
    by_run = dict(zip(series.runs, series.versions, strict=True))
    return by_run[series.points[at - 1][0]], by_run[series.points[at][0]]


def _difference(before: str, after: str) -> str:
    """Name what two lists of libraries do not share."""
    old, new = (dict.fromkeys(each.split("; ")) for each in (before, after))
    gone = [name for name in old if name not in new]
    come = [name for name in new if name not in old]
    return f"{', '.join(gone) or 'none'} became {', '.join(come) or 'none'}"
