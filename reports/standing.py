"""Who is ahead over all workloads: geometric means of ratios, and counts of verdicts."""

import math
from collections import Counter
from dataclasses import dataclass

from bench.phases import Phase
from bench.statistics.intervals import Interval, Ratio
from bench.statistics.intervals import geometric_mean as mean_of
from bench.statistics.verdicts import Verdict
from reports.speed import Comparison, Row, Setting, Table, between, is_timed


@dataclass(frozen=True)
class Standing:
    """How one implementation stands in one phase and setting.

    Attributes:
        mean: geometric mean of its ratios to the baseline over the workloads that both completed.
        first_calls: the same of visits' first calls; None where those were not timed in all of these.
        verdicts: how often it got which, against the baseline.
        fastest: number of workloads in which no other was faster.
        measured: number of workloads with a time.
        workloads: number of workloads tried in this setting.
    """

    implementation: str
    phase: Phase
    mean: Interval | None
    first_calls: Interval | None
    verdicts: Counter[Verdict]
    fastest: int
    measured: int
    workloads: int


@dataclass(frozen=True)
class Lead:
    """The first and second of a phase and setting, on the workloads that all contenders share.

    Attributes:
        ranking: contenders, by the geometric mean of their times relative to the baseline.
        ahead: second relative to first, with its interval; None where there is no second.
        against_baseline: first relative to the baseline; None without one, and for the baseline.
        in_first_calls: the same of visits' first calls; None where those were not timed, too.
        workloads: number of workloads that all contenders completed.
        left_out: implementations that completed too few workloads to be ranked.
    """

    ranking: tuple[str, ...]
    ahead: Interval | None
    against_baseline: Interval | None
    in_first_calls: Interval | None
    workloads: int
    left_out: tuple[str, ...]


def geometric_mean(ratios: list[Ratio]) -> Interval | None:
    """Geometric mean of independent ratios; its interval follows from theirs."""
    return mean_of([entry.interval for entry in ratios]) if ratios else None


def standings(comparison: Comparison, setting: Setting, phase: Phase) -> list[Standing]:
    """Return how all implementations stand, those without any time left out."""
    tables = comparison.of(setting)
    found = []
    for name in comparison.implementations:
        rows = [row for row in (table.find(name, phase) for table in tables) if row is not None]
        timed = [row for row in rows if is_timed(row)]
        if timed:
            ratios = [row.ratio for row in timed if row.ratio]
            first_ratios = [row.first_ratio for row in timed if row.first_ratio]
            found.append(
                Standing(
                    name,
                    phase,
                    geometric_mean(ratios),
                    geometric_mean(first_ratios) if len(first_ratios) == len(ratios) else None,
                    Counter(row.verdict for row in timed if row.verdict),
                    sum(row.fastest for row in timed),
                    len(timed),
                    len(tables),
                )
            )
    return found


def lead(comparison: Comparison, setting: Setting, phase: Phase) -> Lead | None:
    """Return who is ahead; None where no workload has a time.

    An implementation that completed few workloads would shrink the set on which all are compared:
    the one with the fewest is left out until the others share at least half of the workloads.
    """
    tables = [
        table
        for table in comparison.of(setting)
        if any(is_timed(table.find(name, phase)) for name in comparison.implementations)
    ]
    if not tables:
        return None
    completed = {
        name: {index for index, table in enumerate(tables) if is_timed(table.find(name, phase))}
        for name in comparison.implementations
    }
    contenders = sorted(
        (name for name in completed if completed[name]), key=lambda name: -len(completed[name])
    )
    left_out: list[str] = []
    shared = set.intersection(*(completed[name] for name in contenders))
    while len(contenders) > 1 and 2 * len(shared) < len(tables):
        left_out.append(contenders.pop())
        shared = set.intersection(*(completed[name] for name in contenders))
    return _rank(
        comparison, phase, [tables[index] for index in sorted(shared)], contenders, left_out
    )


def _rank(
    comparison: Comparison,
    phase: Phase,
    tables: list[Table],
    contenders: list[str],
    left_out: list[str],
) -> Lead:
    rows = {name: [_timed(table, name, phase) for table in tables] for name in contenders}
    ranking = sorted(contenders, key=lambda name: sum(_log_seconds(row) for row in rows[name]))
    first = ranking[0]
    ahead = None
    if len(ranking) > 1:
        pairs = zip(rows[ranking[1]], rows[first], strict=True)
        ahead = geometric_mean([found for found in (between(*pair) for pair in pairs) if found])
    ratios = [row.ratio for row in rows[first] if row.ratio]
    first_ratios = [row.first_ratio for row in rows[first] if row.first_ratio]
    return Lead(
        tuple(ranking),
        ahead,
        geometric_mean(ratios) if len(ratios) == len(tables) else None,
        geometric_mean(first_ratios) if len(first_ratios) == len(tables) else None,
        len(tables),
        tuple(sorted(left_out, key=comparison.implementations.index)),
    )


def _timed(table: Table, name: str, phase: Phase) -> Row:
    row = table.find(name, phase)
    if row is None:
        raise ValueError(f"{name!r} has no time in {table.workload.name!r}")
    return row


def _log_seconds(row: Row) -> float:
    return math.log(row.seconds.estimate) if row.seconds else 0.0
