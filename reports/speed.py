"""From cells to comparable rows: time, ratio to the baseline, verdict, and who is fastest."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from bench.baseline import BASELINE
from bench.phases import HEADLINE, Phase
from bench.results.schema import Cell, Run, Status, Timing, Unit, WorkloadRecord
from bench.statistics.intervals import Interval, Ratio, first_calls, ratio, seconds_per_call
from bench.statistics.verdicts import Verdict, judged
from reports.words import label


@dataclass(frozen=True, order=True)
class Setting:
    """What must agree for two cells of a workload to be compared."""

    device: str
    dtype: str

    @property
    def title(self) -> str:
        """The setting as a reader calls it: `float32 on cpu`."""
        return f"{label(self.dtype, 30)} on {label(self.device, 30)}"


@dataclass(frozen=True)
class Row:
    """A cell and what is made of it.

    Attributes:
        seconds: of a call; None without a time.
        ratio: to the baseline in the same phase; None for the baseline itself, and where one of
            the two has no time or they share no round.
        verdict: on the ratio, corrected for all comparisons of the page; None for the baseline.
        fastest: no other implementation is faster in this phase, as far as can be told; where there
            was a single round, it alone decides.
        first_seconds, first_ratio: the same of the first calls of all visits, which find the caches as
            others left them; None where those were not timed.
    """

    cell: Cell
    seconds: Interval | None = None
    ratio: Ratio | None = None
    verdict: Verdict | None = None
    fastest: bool = False
    first_seconds: Interval | None = None
    first_ratio: Ratio | None = None


@dataclass(frozen=True)
class Table:
    """All rows of a workload in one setting."""

    workload: WorkloadRecord
    setting: Setting
    rows: tuple[Row, ...]

    @cached_property
    def _by_key(self) -> dict[tuple[str, Phase], Row]:
        return {(row.cell.implementation, row.cell.phase): row for row in self.rows}

    @property
    def by_phase(self) -> list[tuple[Phase, list[Row]]]:
        """Rows phase by phase; phases without any row are left out."""
        return [(phase, list(rows)) for phase, rows in groupby(self.rows, _phase_of)]

    def find(self, implementation: str, phase: Phase) -> Row | None:
        """Return the row of an implementation in a phase."""
        return self._by_key.get((implementation, phase))


@dataclass(frozen=True)
class Comparison:
    """Everything that a page says about speed.

    Attributes:
        baseline: the implementation that ratios are taken against.
        implementations: all that were measured or tried, the baseline first.
    """

    baseline: str
    implementations: tuple[str, ...]
    tables: tuple[Table, ...]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, in a fixed order."""
        return tuple(sorted({table.setting for table in self.tables}))

    @property
    def rows(self) -> Iterator[Row]:
        """All rows."""
        return (row for table in self.tables for row in table.rows)

    @cached_property
    def timed(self) -> frozenset[str]:
        """Names of the implementations that have a time anywhere."""
        return frozenset(row.cell.implementation for row in self.rows if row.seconds)

    @property
    def has_baseline(self) -> bool:
        """Whether the baseline was timed at all."""
        return self.baseline in self.timed

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Phases with a time, in the order of their definition."""
        timed = {row.cell.phase for row in self.rows if row.seconds}
        return tuple(phase for phase in Phase if phase in timed)

    @property
    def headline(self) -> tuple[Phase, ...]:
        """The phases to show first: those that users live with, else whatever was measured."""
        return tuple(phase for phase in HEADLINE if phase in self.phases) or self.phases

    def of(self, setting: Setting) -> tuple[Table, ...]:
        """Return the tables of a setting."""
        return tuple(table for table in self.tables if table.setting == setting)


def compare(run: Run, baseline: str = BASELINE) -> Comparison:
    """Compare all implementations of a run, workload by workload."""
    names = [record.name for record in run.header.implementations]
    names += [cell.implementation for cell in run.cells]
    implementations = sorted(dict.fromkeys(names), key=lambda name: name != baseline)
    tables = [_table(unit, setting, baseline) for unit in run.units for setting in _settings(unit)]
    return Comparison(baseline, tuple(implementations), tuple(_corrected(tables)))


def _settings(unit: Unit) -> list[Setting]:
    return sorted({Setting(cell.device, cell.dtype) for cell in unit.cells})


def _table(unit: Unit, setting: Setting, baseline: str) -> Table:
    cells = [cell for cell in unit.cells if Setting(cell.device, cell.dtype) == setting]
    rows = []
    for phase in Phase:
        found = [cell for cell in cells if cell.phase is phase]
        against = next((cell.timing for cell in found if cell.implementation == baseline), None)
        rows += _mark_fastest([_row(cell, baseline, against) for cell in found])
    return Table(unit.workload, setting, tuple(rows))


def _row(cell: Cell, baseline: str, against: Timing | None) -> Row:
    if cell.timing is None:
        return Row(cell)
    seconds = seconds_per_call(cell.timing)
    first = first_calls(cell.timing)
    first_seconds = None if first is None else seconds_per_call(first)
    if cell.implementation == baseline:
        return Row(cell, seconds, first_seconds=first_seconds)
    compared = first_compared = None
    if against is not None:
        compared = ratio(cell.timing, against)
        first_against = first_calls(against)
        if first is not None and first_against is not None:
            first_compared = ratio(first, first_against)
    return Row(  # its verdict is missing until all are judged together
        cell,
        seconds,
        compared,
        Verdict.MISSING,
        first_seconds=first_seconds,
        first_ratio=first_compared,
    )


def _mark_fastest(rows: list[Row]) -> list[Row]:
    """Mark the fastest row, and those whose paired ratio to it does not exclude 1."""
    timed = [row for row in rows if row.seconds is not None]
    if len({row.cell.implementation for row in timed}) <= 1:
        return rows
    first = leader(timed)
    return [
        replace(row, fastest=True) if row is first or is_level(row, first) else row for row in rows
    ]


def leader(rows: Sequence[Row]) -> Row:
    """The fastest of a phase's rows, by the rounds that they share with the one of least time.

    Times by themselves may put two rows the other way round.
    """
    least = min(rows, key=lambda row: row.seconds.estimate if row.seconds else math.inf)
    return min(rows, key=lambda row: times_as_long(row, least))


def times_as_long(row: Row, other: Row) -> float:
    """Paired ratio of two rows' times; infinite where they share no round."""
    if row is other:
        return 1.0
    compared = between(row, other)
    return math.inf if compared is None else compared.interval.estimate


def is_level(row: Row, first: Row) -> bool:
    """Whether a row cannot be told apart from the fastest."""
    if row.seconds is None or first.seconds is None or not row.seconds.is_known:
        return False
    if row.seconds.low > first.seconds.high:
        return False
    compared = between(row, first)
    return compared is not None and compared.interval.low <= 1 <= compared.interval.high


def between(row: Row, other: Row) -> Ratio | None:
    """Compare two rows of the same workload, phase and setting."""
    if row.cell.timing is None or other.cell.timing is None:
        return None
    return ratio(row.cell.timing, other.cell.timing)


def _corrected(tables: list[Table]) -> list[Table]:
    """Judge ratios with p-values that are corrected for all comparisons of the page."""
    rows = [row for table in tables for row in table.rows if row.ratio]
    verdicts = iter(judged([(row.cell.phase, row.ratio) for row in rows]))
    return [
        replace(
            table,
            rows=tuple(
                replace(row, verdict=next(verdicts)) if row.ratio else row for row in table.rows
            ),
        )
        for table in tables
    ]


def _phase_of(row: Row) -> Phase:
    return row.cell.phase


def is_timed(row: Row | None) -> bool:
    """Whether a row exists and holds a time."""
    return row is not None and row.cell.status is Status.OK
