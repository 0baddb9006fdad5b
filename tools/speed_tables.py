"""Tables of speed in Markdown, from run files; and documents that hold them between marks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import geometric_mean
from typing import Protocol

from bench.phases import Phase
from bench.results.schema import Run, Timing
from bench.results.store import load
from bench.statistics.intervals import Interval, first_calls, ratio, seconds_per_call
from reports import words
from reports.joining import join
from tools.rivals import margins

PROJECT = Path(__file__).resolve().parent.parent
RIVALS = ("minkowski", "spconv")
DIGITS = 2
"""Of a speed-up; few intervals are narrower."""
Timings = Mapping[tuple[str, str, Phase], Timing | None]
"""By workload, implementation and phase."""
BEGIN = re.compile(r"<!-- table: (\S+) -->\n")
MARKED = re.compile(rf"({BEGIN.pattern})(?:(?!{BEGIN.pattern}).)*?(?P<end><!-- end -->)", re.DOTALL)


class Table(Protocol):
    """What stands in a document."""

    def lines(self) -> Iterator[str]:
        """The table in Markdown."""
        ...


@dataclass(frozen=True)
class Column:
    """A time, or how many times as fast one implementation is as another, with the 99 % interval.

    Attributes:
        title: above the column.
        phase: that was timed.
        of: whose time, or whose speed.
        over: the other implementation; None for a time.
        once: whether visits' first calls are compared, and not those after them.
    """

    title: str
    phase: Phase
    of: str
    over: str | None = None
    once: bool = False


@dataclass(frozen=True)
class SpeedUps:
    """Workloads by columns; a cell that was not measured stays empty.

    Attributes:
        runs: files; of a workload that several have, the last one's cells count.
        columns: what is told of each workload.
        rows: what each is called, and its workload.
    """

    runs: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: Sequence[tuple[str, str]]

    def lines(self) -> Iterator[str]:
        """The table in Markdown.

        Raises:
            KeyError: if no file has a row's workload.
        """
        yield f"| | {' | '.join(column.title for column in self.columns)} |"
        yield f"| --- |{' ---: |' * len(self.columns)}"
        run = _joined(self.runs)
        timings = {(c.workload, c.implementation, c.phase): c.timing for c in run.cells}
        known = {each.name for each in run.workloads}
        for title, workload in self.rows:
            if workload not in known:
                raise KeyError(f"{workload} is in none of {', '.join(self.runs)}")
            entries = [_entry(timings, workload, column) for column in self.columns]
            yield f"| {title} | {' | '.join(entries)} |"


@dataclass(frozen=True)
class AgainstRivals:
    """One implementation against the fastest of others, over all workloads of files.

    Attributes:
        runs: files; of a workload that several have, the last one's cells count.
        of: the implementation.
        rivals: the others.
    """

    runs: tuple[str, ...]
    of: str = "gather"
    rivals: Sequence[str] = RIVALS

    def lines(self) -> Iterator[str]:
        """The table in Markdown."""
        yield f"| phase | geometric mean | `{self.of}` not slower | beyond its interval | closest |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        for phase, own in margins(_joined(self.runs), self.of, self.rivals).items():
            times = [each.times for each in own]
            mean = geometric_mean(each.estimate for each in times)
            ahead = sum(each.estimate >= 1 for each in times)
            certain = sum(each.low > 1 for each in times)
            yield (
                f"| `{phase}` | {words.number(mean)} | {ahead} of {len(own)} | {certain} | "
                f"{_speed_up(times[0])} |"
            )


@cache
def _joined(runs: tuple[str, ...]) -> Run:
    return join([load(PROJECT / each) for each in runs])


def _entry(timings: Timings, workload: str, column: Column) -> str:
    own = _timing(timings, workload, column, column.of)
    if own is None:
        return ""
    if column.over is None:
        return words.seconds(seconds_per_call(own).estimate)
    other = _timing(timings, workload, column, column.over)
    found = ratio(other, own) if other is not None else None
    return _speed_up(found.interval) if found is not None else ""


def _timing(timings: Timings, workload: str, column: Column, name: str) -> Timing | None:
    found = timings.get((workload, name, column.phase))
    return first_calls(found) if found is not None and column.once else found


def _speed_up(times: Interval) -> str:
    """The figure with its interval in brackets."""
    if not times.is_known:
        return f"{words.number(times.estimate, DIGITS)}{words.TIMES} (one round)"
    low, high = (words.number(each, DIGITS) for each in (times.low, times.high))
    return f"{words.number(times.estimate, DIGITS)}{words.TIMES} ({low}{words.DASH}{high})"


def filled(text: str, tables: Mapping[str, Table]) -> str:
    """A document with the tables that its marks name.

    Raises:
        KeyError: if there is no table of a name.
        ValueError: if a table has no end: what follows it would be replaced, too.
    """

    def table(mark: re.Match[str]) -> str:
        return "\n".join([mark[1], *tables[mark[2]].lines(), "", mark["end"]])

    endless = set(BEGIN.findall(text)) - {mark[2] for mark in MARKED.finditer(text)}
    if endless:
        raise ValueError(f"tables without an end: {', '.join(sorted(endless))}")
    return MARKED.sub(table, text)
