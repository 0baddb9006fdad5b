"""Which implementation to use for what: the fastest at each position of a group, or of a workload."""

import math
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from bench.phases import Phase
from bench.results.schema import Status
from bench.statistics.verdicts import Verdict
from reports import words
from reports.break_even import DENSITY
from reports.speed import (
    Comparison,
    Row,
    Setting,
    Table,
    between,
    is_level,
    leader,
    times_as_long,
)

FEWEST = 2
NEAR = 1.05
"""Times as long as the fastest: up to that, a change is not worth its trouble."""


@dataclass(frozen=True)
class Place:
    """A workload in one phase.

    Attributes:
        usable: the fastest row, and those nearly as fast.
        level: rows that cannot be told apart from the fastest, which is one of them.
    """

    position: float
    usable: tuple[Row, ...]
    level: tuple[Row, ...]


@dataclass(frozen=True)
class Span:
    """Neighbouring positions with the same choice.

    Attributes:
        names: implementations that may be used at all of them, the one with the least total time first.
        first, last: positions.
        gains: least and most of how many times as fast as the baseline the first of these is; None
            where a position has no ratio, and for the baseline.
        doubtful: at some position one of these may take more than `NEAR` times as long as the fastest.
    """

    names: tuple[str, ...]
    first: float
    last: float
    gains: tuple[float, float] | None
    doubtful: bool


@dataclass(frozen=True)
class Recommendation:
    """What to use for a workload, or for a group of workloads that differ in one number.

    Attributes:
        axis: what the positions count: `density`, `grid size`, ...
        positions: of the workloads, rising.
        tables: where the workloads stand among the comparison's tables.
        by_phase: spans, in the order of positions; of those only where two implementations or more
            have times, not counting those that are wrong at any position.
    """

    name: str
    axis: str
    positions: tuple[float, ...]
    tables: tuple[int, ...]
    by_phase: dict[Phase, tuple[Span, ...]]


def recommendations(comparison: Comparison, setting: Setting) -> list[Recommendation]:
    """Recommend for each group and each workload outside of one, in the order of measurement."""
    members: dict[tuple[str, str], list[tuple[int, Table]]] = {}
    for number, table in enumerate(comparison.tables):
        if table.setting != setting:
            continue
        workload = table.workload
        name = workload.group if workload.group and workload.position > 0 else workload.name
        members.setdefault((workload.suite, name), []).append((number, table))
    found = []
    for (_, group), numbered in members.items():
        numbered.sort(key=lambda pair: pair[1].workload.position)
        numbers, tables = zip(*numbered, strict=True)
        by_phase = {
            phase: _spans(_place(table, phase, _wrong(tables, phase)) for table in tables)
            for phase in comparison.headline
        }
        if any(by_phase.values()):
            first = tables[0].workload
            name = group if len(tables) > 1 else first.name
            positions = tuple(table.workload.position for table in tables)
            found.append(Recommendation(name, first.axis, positions, numbers, by_phase))
    return found


def where(found: Recommendation, span: Span) -> str:
    """For which of its positions a span stands; nothing where it is all that were measured."""
    first, last = found.positions[0], found.positions[-1]
    at = _position(found)
    if span.first <= first and span.last >= last:
        return ""
    if span.first == span.last:
        return f"at {at(span.first)}"
    if span.first <= first:
        return f"up to {at(span.last)}"
    if span.last >= last:
        return f"from {at(span.first)}"
    return f"{at(span.first).removesuffix(f'{words.SPACE}%')}{words.DASH}{at(span.last)}"


def covered(found: Recommendation) -> str:
    """What positions were measured; nothing of a workload by itself."""
    if len(found.positions) < 2:
        return ""
    at = _position(found)
    first, last = at(found.positions[0]), at(found.positions[-1])
    ends = f"{first.removesuffix(f'{words.SPACE}%')}{words.DASH}{last}"
    return f"{words.label(found.axis, 30)} {ends}"


def gains(span: Span) -> str:
    """How many times as fast as the baseline, in as few words as possible."""
    if span.gains is None:
        return ""
    least, most = (words.number(gain, 2) for gain in span.gains)
    return f"{least}{words.TIMES}" if least == most else f"{least}{words.DASH}{most}{words.TIMES}"


def caption(comparison: Comparison) -> str:
    """What a table of recommendations shows."""
    near, doubt = words.percent(NEAR - 1, 1), words.SIGNS[Verdict.AMBIGUOUS]
    shown = (
        f"Whoever is named is fastest, or within {near} of the fastest, throughout the range given"
    )
    if comparison.has_baseline:
        baseline = words.label(comparison.baseline)
        shown += f"; in brackets, how many times as fast as {baseline} the first named is"
    if any(row.cell.status is Status.INCORRECT for row in comparison.rows):
        shown += "; whoever is wrong somewhere in it is not named"
    return f"{shown}; {doubt} where that is not certain"


def said(found: Recommendation, phase: Phase) -> str:
    """All spans of a phase in words."""
    return ", ".join(text(found, span) for span in found.by_phase.get(phase, ()))


def text(found: Recommendation, span: Span) -> str:
    """A span in words: `gather up to 50 % (3.2-86x)`."""
    names = " or ".join(words.label(name) for name in span.names)
    gain = gains(span)
    doubt = words.SIGNS[Verdict.AMBIGUOUS] if span.doubtful else ""
    return " ".join(filter(None, (names, where(found, span), f"({gain})" if gain else "", doubt)))


def _position(found: Recommendation) -> Callable[[float], str]:
    return words.plain_percent if found.axis == DENSITY else words.plain


def _wrong(tables: Iterable[Table], phase: Phase) -> set[str]:
    """Who is wrong at one of these workloads, and so is not to be used for any of them."""
    return {
        row.cell.implementation
        for table in tables
        for row in table.rows
        if row.cell.phase is phase and row.cell.status is Status.INCORRECT
    }


def _place(table: Table, phase: Phase, wrong: Container[str]) -> Place | None:
    """Who may be used for one workload; None where fewer than two that are right have times."""
    rows = [
        row
        for row in table.rows
        if row.cell.phase is phase and row.seconds and row.cell.implementation not in wrong
    ]
    if len(rows) < FEWEST:
        return None
    first = leader(rows)
    usable = tuple(row for row in rows if times_as_long(row, first) <= NEAR)
    level = tuple(row for row in rows if row is first or is_level(row, first))
    return Place(table.workload.position, usable, level)


def _may_be_too_slow(place: Place, names: Sequence[str]) -> bool:
    """Whether one of these may take longer than another by more than is near, as far as can be told."""
    named = [row for row in place.usable if row.cell.implementation in names]
    others = [row for row in place.level if row.cell.implementation not in names]
    is_known = all(row.seconds is not None and row.seconds.is_known for row in named)
    compared = (between(row, other) for row in named for other in others)
    return not is_known or any(each is None or each.interval.high > NEAR for each in compared)


def _spans(places: Iterable[Place | None]) -> tuple[Span, ...]:
    """Cover places with as few choices as possible, each as far as it goes without a gap."""
    spans: list[Span] = []
    taken: list[Place] = []
    for place in places:
        if taken and (place is None or not _common([*taken, place])):
            spans.append(_span(taken))
            taken = []
        if place is not None:
            taken.append(place)
    if taken:
        spans.append(_span(taken))
    return tuple(spans)


def _common(places: Sequence[Place]) -> list[str]:
    """Names that are usable everywhere, least total time first."""
    everywhere = set.intersection(
        *({row.cell.implementation for row in place.usable} for place in places)
    )
    total: defaultdict[str, float] = defaultdict(float)
    for place in places:
        for row in place.usable:
            total[row.cell.implementation] += _seconds(row)
    return sorted(everywhere, key=lambda name: (total[name], name))


def _span(places: Sequence[Place]) -> Span:
    names = tuple(_common(places))
    rows = [row for each in places for row in each.usable if row.cell.implementation == names[0]]
    ratios = [1 / row.ratio.interval.estimate for row in rows if row.ratio]
    gains = (min(ratios), max(ratios)) if len(ratios) == len(places) else None
    doubtful = any(_may_be_too_slow(place, names) for place in places)
    return Span(names, places[0].position, places[-1].position, gains, doubtful)


def _seconds(row: Row) -> float:
    return row.seconds.estimate if row.seconds else math.inf
