"""What happened between two runs of a machine: every series that stepped there, taken together."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.commits import short
from bench.history.series import History, Key, RunPoint, Series
from bench.history.steps import Step

MOST_SHIFT = 2
"""Runs by which a step that was found before may come to lie elsewhere."""
_Line = tuple[Key, str | None]
"""What names a series: its cell, and what it is relative to."""


@dataclass(frozen=True)
class Change:
    """A step of one series."""

    series: Series
    step: Step


@dataclass(frozen=True)
class Commits:
    """Commits of one repository that something lies between, the first excluded.

    Attributes:
        before: at the last run on the old level; empty outside of git.
        after: at the first run on the new one.
        of: implementations whose own repository it is; none where it is sparsebench's.
    """

    before: str
    after: str
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """All steps in one direction between the same two runs and commits.

    Steps of ratios that are the baseline's are in the event of its direction, which is the other one.

    Attributes:
        before: last run on the old level.
        after: first run on the new one.
        commits: of the repository that those lie in which stepped.
        changes: the largest first; after all others, those that are the baseline's.
        also: what else differs between the two runs, in words.
    """

    before: RunPoint
    after: RunPoint
    is_slower: bool
    commits: Commits
    changes: tuple[Change, ...]
    also: tuple[str, ...]

    @property
    def own(self) -> tuple[Change, ...]:
        """Changes of cells that became slower or faster themselves."""
        return tuple(each for each in self.changes if not each.step.of_baseline)

    @property
    def of_baseline(self) -> tuple[Change, ...]:
        """Changes of cells whose baseline did so."""
        return tuple(each for each in self.changes if each.step.of_baseline)


@dataclass(frozen=True)
class Breakage:
    """A cell that had times once and has none since a run; between these commits it lost them."""

    series: Series
    since: RunPoint
    commits: Commits
    status: str


def events(history: History) -> list[Event]:
    """Return all events, the newest first, slowdowns before speed-ups."""
    found: dict[_Place, list[Change]] = {}
    for series, step in _steps(history):
        before, after = history.run_of(series, step.at - 1), history.run_of(series, step.at)
        commits = commits_between(history, series, step)
        is_slower = step.is_slower != step.of_baseline
        place = _Place(before, after, is_slower, commits.before, commits.after, bool(commits.of))
        found.setdefault(place, []).append(Change(series, step))
    made = [_event(place, changes) for place, changes in found.items()]
    newest = sorted(made, key=lambda event: event.is_slower, reverse=True)
    return sorted(newest, key=lambda event: event.after.name, reverse=True)


def commits_between(history: History, series: Series, step: Step) -> Commits:
    """The commits that a step lies between: the implementation's own where both runs have one.

    A baseline's step, seen in another cell's ratio, is told by sparsebench's.
    """
    if step.of_baseline:
        before, after = history.run_of(series, step.at - 1), history.run_of(series, step.at)
        return Commits(before.commit, after.commit)
    return _commits(history, series, series.points[step.at - 1][0], series.points[step.at][0])


def breakages(history: History) -> list[Breakage]:
    """Return the cells that lost their time, the newest first."""
    found = []
    for series in history.series:
        if (since := series.broken_since) is not None:
            before = series.runs[series.runs.index(since) - 1]
            commits = _commits(history, series, before, since)
            found.append(Breakage(series, history.runs[since], commits, series.statuses[-1]))
    return sorted(found, key=lambda each: each.since.name, reverse=True)


def news(earlier: History, now: Sequence[Event]) -> list[Event]:
    """What an earlier history did not say yet, of these events.

    A step may come to lie a run or two aside when more runs are known, and be of a somewhat different
    size: that is no news.
    """
    known, found = defaultdict[_Line, list[Step]](list), defaultdict[_Line, list[Step]](list)
    for series, step in _steps(earlier):
        known[series.key, series.baseline].append(step)
    for event in now:
        for change in event.changes:
            found[_line(change)].append(change.step)
    old = {line: _found_before(known[line], steps) for line, steps in found.items()}
    left = [
        replace(
            event,
            changes=tuple(each for each in event.changes if each.step.at not in old[_line(each)]),
        )
        for event in now
    ]
    return [event for event in left if event.changes]


def _found_before(known: Sequence[Step], now: Sequence[Step]) -> set[int]:
    """Where steps are that were known before; each that was known is the nearest one like it."""
    found: set[int] = set()
    for old in known:
        alike = [new for new in now if new.at not in found and _are_alike(old, new)]
        if alike:
            found.add(min(alike, key=lambda new: abs(new.at - old.at)).at)
    return found


def _are_alike(one: Step, other: Step) -> bool:
    """Whether two steps may be one, as more and as fewer runs show it."""
    is_near = abs(one.at - other.at) <= MOST_SHIFT
    is_same = (one.is_slower, one.of_baseline) == (other.is_slower, other.of_baseline)
    return (is_near and is_same) and any(
        a.size.low <= b.size.estimate <= a.size.high for a, b in ((one, other), (other, one))
    )


def new_breakages(earlier: History, now: Sequence[Breakage]) -> list[Breakage]:
    """Cells that have lost their time, and had not in an earlier history."""
    known = {(each.series.key, each.series.baseline) for each in breakages(earlier)}
    return [each for each in now if (each.series.key, each.series.baseline) not in known]


def _line(change: Change) -> _Line:
    return change.series.key, change.series.baseline


def recent(history: History, last: int) -> set[str]:
    """Names of the last runs of each machine."""
    names: set[str] = set()
    for machine in {run.machine for run in history.runs}:
        own = [run.name for run in history.runs if run.machine == machine]
        names |= set(own[-last:])
    return names


def _commits(history: History, series: Series, *places: int) -> Commits:
    """The commits of two runs that have a series."""
    before, after = (series.commits[series.runs.index(place)] for place in places)
    if before and after:
        return Commits(before, after, (series.key.implementation,))
    before, after = (history.runs[place].commit for place in places)
    return Commits(before, after)


def _steps(history: History) -> Iterator[tuple[Series, Step]]:
    for series, steps in zip(history.series, history.steps, strict=True):
        for step in steps:
            yield series, step


class _Place(NamedTuple):
    """Where steps are that make one event."""

    before: RunPoint
    after: RunPoint
    is_slower: bool
    commit_before: str
    commit_after: str
    is_own: bool


def _event(place: _Place, changes: list[Change]) -> Event:
    before, after = place.before, place.after
    largest = sorted(
        changes,
        key=lambda each: (each.step.of_baseline, -abs(math.log(each.step.size.estimate))),
    )
    names = sorted({each.series.key.implementation for each in changes})
    of = tuple(names) if place.is_own else ()
    also = []
    if place.is_own and before.commit != after.commit:
        also.append(f"sparsebench: {_at(before)} became {_at(after)}")
    if before.libraries != after.libraries:
        also.append(f"libraries: {_difference(before.libraries, after.libraries)}")
    versions = {
        (each.series.key.implementation, old, new)
        for each in changes
        if (pair := _versions(each)) and (old := pair[0]) != (new := pair[1])
    }
    also += [f"{name} {old} became {new}" for name, old, new in sorted(versions)]
    commits = Commits(place.commit_before, place.commit_after, of)
    return Event(before, after, place.is_slower, commits, tuple(largest), tuple(also))


def _at(run: RunPoint) -> str:
    return short(run.commit) or "no commit"


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
