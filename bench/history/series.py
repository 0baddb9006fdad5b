"""The cells of an archive as series over its runs, queried through DuckDB."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import duckdb

from bench.errors import UserError
from bench.history.archive import Archive, Skipped
from bench.history.steps import Step, attributed, find_steps, significant
from bench.history.summary import COLUMNS
from bench.results.schema import Status

MEMORY = "1GB"
FILTERS = ("machine", "implementation", "workload", "phase")


@dataclass(frozen=True)
class RunPoint:
    """One run of one machine, as history shows it; its commit is sparsebench's."""

    name: str
    started: str
    commit: str
    machine: str
    libraries: str


class Key(NamedTuple):
    """What a series is of: runs are followed where all of this and the baseline agree."""

    machine: str
    suite: str
    workload: str
    workload_version: str
    implementation: str
    phase: str
    dtype: str
    device: str


@dataclass(frozen=True)
class Series:
    """One cell over all runs of one machine that have it; of one version of its workload.

    Attributes:
        key: what it is of.
        baseline: what `relative` is relative to; None where its runs have no baseline.
        runs: places in `History.runs`, ascending; one for each of the following.
        statuses: how the cell ended there.
        commits: of the repository that the implementation lies in; empty where that is sparsebench's,
            or none.
        seconds: times of those that are `ok`, else None.
        relative: the same over the baseline's, measured in turn in the same run; None where that is
            missing, and for the baseline itself.
    """

    key: Key
    baseline: str | None
    runs: tuple[int, ...]
    statuses: tuple[str, ...]
    versions: tuple[str, ...]
    commits: tuple[str, ...]
    seconds: tuple[float | None, ...]
    relative: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """What the cell is called."""
        key = self.key
        return f"{key.workload} {key.implementation} {key.phase} {key.dtype} on {key.device}"

    @cached_property
    def is_relative(self) -> bool:
        """Whether it is followed as a ratio to the baseline, in which the machine's drift cancels."""
        return any(value is not None for value in self.relative)

    @cached_property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Place of the run and value, of all runs that have one."""
        values = self.relative if self.is_relative else self.seconds
        return tuple(
            (run, value)
            for run, value in zip(self.runs, values, strict=True)
            if value is not None and value > 0
        )

    @property
    def values(self) -> list[float]:
        """The values of `points`."""
        return [value for _, value in self.points]

    @property
    def baseline_seconds(self) -> list[float]:
        """Times of the baseline at `points`, of a series of ratios."""
        return [
            seconds / value
            for seconds, value in zip(self.seconds, self.relative, strict=True)
            if seconds is not None and value is not None and value > 0
        ]

    @property
    def broken_since(self) -> int | None:
        """First run of an unbroken end without a time, after one with a time; None where it is fine."""
        good = [place for place, status in enumerate(self.statuses) if status == Status.OK]
        if not good or good[-1] == len(self.statuses) - 1:
            return None
        return self.runs[good[-1] + 1]


@dataclass(frozen=True)
class History:
    """What an archive says.

    Attributes:
        runs: of all machines, in the order of their starts.
        series: of the cells asked for.
        steps: of each series, those that hold among all.
        skipped: files left out.
    """

    runs: tuple[RunPoint, ...]
    series: tuple[Series, ...]
    steps: tuple[tuple[Step, ...], ...]
    skipped: tuple[Skipped, ...]

    def run_of(self, series: Series, place: int) -> RunPoint:
        """The run of the point at a place of a series."""
        return self.runs[series.points[place][0]]


def read(archive: Archive, patterns: dict[str, Sequence[str]]) -> History:
    """Query an archive and find the steps of every series.

    Args:
        archive: where the runs are.
        patterns: for any of `FILTERS`, names with `*` and `?` of which one must match.

    Raises:
        UserError: if the archive is empty, or nothing in it matches.
    """
    runs, series, skipped = _found(archive, patterns)
    if not series:
        named = "; ".join(f"{name} {', '.join(each)}" for name, each in patterns.items())
        if skipped and not runs:  # nothing could be looked through
            raise UserError(
                f"nothing in the archive {archive.url} can be used: {skipped[0].name}: "
                f"{skipped[0].reason}"
            )
        raise UserError(
            f"no cell in the archive {archive.url} matches{' ' if named else ''}{named}"
        )
    return _history(runs, series, skipped)


def read_cells(archive: Archive, wanted: AbstractSet[Key]) -> History:
    """Query an archive for these cells, of which it may have none.

    Steps are judged among these cells. Runs of machines that none of them is from are left out.

    Raises:
        UserError: if the archive is empty.
    """
    runs, series, skipped = _found(archive, {})
    machines = {key.machine for key in wanted}
    kept = [number for number, run in enumerate(runs) if run.machine in machines]
    places = {number: place for place, number in enumerate(kept)}
    moved = [_in_places(each, places) for each in series if each.key in wanted]
    return _history([runs[number] for number in kept], moved, skipped)


def without(history: History, names: AbstractSet[str]) -> History:
    """What a history would say if these runs were not in the archive."""
    kept = [number for number, run in enumerate(history.runs) if run.name not in names]
    places = {number: place for place, number in enumerate(kept)}
    series = [_in_places(each, places) for each in history.series]
    left = [each for each in series if each.runs]
    return _history([history.runs[number] for number in kept], left, history.skipped)


def _in_places(series: Series, places: Mapping[int, int]) -> Series:
    """A series in the runs that have a place, under that place's number."""
    own = [number for number, run in enumerate(series.runs) if run in places]
    return Series(
        series.key,
        series.baseline,
        runs=tuple(places[series.runs[number]] for number in own),
        statuses=tuple(series.statuses[number] for number in own),
        versions=tuple(series.versions[number] for number in own),
        commits=tuple(series.commits[number] for number in own),
        seconds=tuple(series.seconds[number] for number in own),
        relative=tuple(series.relative[number] for number in own),
    )


def _history(
    runs: Sequence[RunPoint], series: Sequence[Series], skipped: Sequence[Skipped]
) -> History:
    """Find the steps of every series."""
    found = significant([find_steps(each.values) for each in series])
    steps = tuple(
        tuple(attributed(own, each.baseline_seconds) if each.is_relative else own)
        for each, own in zip(series, found, strict=True)
    )
    return History(tuple(runs), tuple(series), steps, tuple(skipped))


def _found(
    archive: Archive, patterns: dict[str, Sequence[str]]
) -> tuple[list[RunPoint], list[Series], list[Skipped]]:
    """Query the summaries of an archive, damaged ones made anew."""
    paths, skipped = archive.summaries()
    good = paths
    try:
        return *_query(good, patterns), skipped
    except duckdb.Error:
        good = [path for path in paths if _is_ours(path)]
        anew, lost = archive.make_anew([path for path in paths if path not in good])
        return *_query([*good, *anew], patterns), [*skipped, *lost]


def _query(
    paths: Sequence[Path], patterns: dict[str, Sequence[str]]
) -> tuple[list[RunPoint], list[Series]]:
    """Read summaries: the runs in order, and the cells that match."""
    if not paths:
        return [], []
    kept = " AND ".join(
        f"({' OR '.join(f'{name} = ? OR {name} GLOB ?' for _ in patterns[name])})"
        for name in FILTERS
        if patterns.get(name)
    )
    wanted = [
        pattern
        for name in FILTERS
        for given in patterns.get(name, ())
        for pattern in (given, given)
    ]
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as database:
        cells = database.read_parquet([str(path) for path in paths])  # noqa: F841  # named in SQL
        found = database.execute(
            "SELECT DISTINCT run, started, commit, machine, libraries FROM cells ORDER BY run"
        ).fetchall()
        runs = [RunPoint(*row) for row in found]
        database.execute("CREATE TABLE places (run VARCHAR, place INTEGER)")
        database.execute(
            "INSERT INTO places SELECT run, row_number() OVER (ORDER BY run) - 1 "
            "FROM (SELECT DISTINCT run FROM cells)"
        )
        rows = database.execute(
            f"SELECT {', '.join(Key._fields)}, baseline, "  # noqa: S608
            "list(place ORDER BY place), list(status ORDER BY place), "
            "list(implementation_version ORDER BY place), "
            "list(implementation_commit ORDER BY place), list(seconds ORDER BY place), "
            "list(relative ORDER BY place) FROM cells JOIN places USING (run) WHERE "
            + (kept or "true")  # names are ours, patterns are parameters
            + " GROUP BY ALL ORDER BY ALL",
            wanted,
        ).fetchall()
    series = [Series(Key(*row[:8]), row[8], *map(tuple, row[9:])) for row in rows]
    return runs, series


def _is_ours(path: Path) -> bool:
    """Whether a summary can be read and has our columns."""
    try:
        with duckdb.connect() as database:
            table = database.read_parquet(str(path))
            return dict(zip(table.columns, map(str, table.types), strict=True)) == COLUMNS
    except duckdb.Error:
        return False
