"""The density at which sparse and dense take equally long, by interpolation between workloads."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from bench.phases import Phase
from bench.results.schema import Status
from bench.statistics.intervals import Interval, Ratio
from bench.statistics.verdicts import Verdict
from reports.speed import Comparison, Setting, Table

DENSITY = "density"
FLOOR = 1e-30
"""Of ratios: what stands for 0 where a logarithm is taken."""


class Outcome(StrEnum):
    """What a curve says about an implementation and the baseline."""

    CROSSES = "crosses"
    FASTER = "faster everywhere"
    SLOWER = "slower everywhere"
    LEVEL = "level"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Crossing:
    """Where the ratio to the baseline passes 1.

    Attributes:
        position: interpolated linearly, log ratio over log position.
        low, high: where the two ends of the ratios' 99 % intervals pass 1, and the curve itself might,
            as it need not be straight between workloads; None where the ends of intervals pass 1
            outside of what was measured.
        faster_below: the implementation beats the baseline on the lower side.
    """

    position: float
    low: float | None
    high: float | None
    faster_below: bool

    @property
    def is_established(self) -> bool:
        """Whether some workload on either side is clearly on that side."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Point:
    """A workload of a group: its position, and how long an implementation takes there."""

    position: float
    seconds: Interval
    ratio: Ratio | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Curve:
    """One implementation over the positions of a group.

    Attributes:
        is_wrong: at some position its results were, so that its times say nothing in its favour.
    """

    implementation: str
    points: tuple[Point, ...]
    outcome: Outcome
    crossings: tuple[Crossing, ...]
    is_wrong: bool = False


@dataclass(frozen=True)
class Group:
    """The curves of workloads that differ in one thing only, in one phase and setting.

    Attributes:
        axis: what the positions count: `density`, `grid size`, ...
    """

    name: str
    suite: str
    setting: Setting
    phase: Phase
    axis: str
    positions: tuple[float, ...]
    curves: tuple[Curve, ...]

    @property
    def is_density(self) -> bool:
        """Whether the position is a density; else it is a size of some kind."""
        return self.axis == DENSITY


def groups(comparison: Comparison, phases: Iterable[Phase]) -> list[Group]:
    """Return the curves of every group with at least two positions above 0 in a phase."""
    members: dict[tuple[str, str, Setting], list[Table]] = {}
    for table in comparison.tables:
        workload = table.workload
        if workload.group and workload.position > 0:
            key = (workload.suite, workload.group, table.setting)
            members.setdefault(key, []).append(table)
    wanted = list(phases)
    found = []
    for tables in members.values():
        tables.sort(key=lambda table: table.workload.position)
        for phase in wanted:
            group = _group(comparison, tables, phase)
            if len(group.positions) > 1:
                found.append(group)
    return found


def lonely(comparison: Comparison) -> list[str]:
    """Return the names of groups that have a single position, so that no curve can be drawn."""
    positions: dict[str, set[float]] = {}
    for table in comparison.tables:
        if table.workload.group:
            positions.setdefault(table.workload.group, set()).add(table.workload.position)
    return [name for name, found in positions.items() if len(found) == 1]


def find_curve(members: list[Group], name: str, phase: Phase) -> tuple[Group, Curve] | None:
    """Return an implementation's curve in a phase, among the phases of one group."""
    for group in members:
        for curve in group.curves:
            if group.phase is phase and curve.implementation == name:
                return group, curve
    return None


def has_curve(members: list[Group], name: str) -> bool:
    """Whether an implementation has a curve in any phase of one group."""
    return any(curve.implementation == name for group in members for curve in group.curves)


def _group(comparison: Comparison, tables: list[Table], phase: Phase) -> Group:
    curves = []
    for name in comparison.implementations:
        rows = [(table, row) for table in tables if (row := table.find(name, phase)) is not None]
        points = tuple(
            Point(table.workload.position, row.seconds, row.ratio, row.verdict)
            for table, row in rows
            if row.seconds is not None
        )
        if points:
            compared = [point for point in points if point.ratio is not None]
            crossings = tuple(_crossings(compared))
            outcome = _outcome(compared, crossings)
            is_wrong = any(row.cell.status is Status.INCORRECT for _, row in rows)
            curves.append(Curve(name, points, outcome, crossings, is_wrong))
    workload, setting = tables[0].workload, tables[0].setting
    positions = {point.position for curve in curves for point in curve.points}
    return Group(
        workload.group,
        workload.suite,
        setting,
        phase,
        workload.axis,
        tuple(sorted(positions)),
        tuple(curves),
    )


def _outcome(points: list[Point], crossings: tuple[Crossing, ...]) -> Outcome:
    if not points:
        return Outcome.UNKNOWN
    if crossings:
        return Outcome.CROSSES
    if all(point.verdict is Verdict.FASTER for point in points):
        return Outcome.FASTER
    if all(point.verdict is Verdict.SLOWER for point in points):
        return Outcome.SLOWER
    return Outcome.LEVEL


def _side(interval: Interval) -> int:
    """-1 where the interval lies below 1, +1 where above, 0 where it holds 1."""
    return int(interval.low > 1) - int(interval.high < 1)


def _crossings(points: list[Point]) -> list[Crossing]:
    """Find where the ratio changes sides between points that are clearly on one of them.

    Before the first clear point and after the last, a change of the estimate alone counts too, if it
    lasts, with a band that stays open on that side; where no point is clear, nothing crosses.
    """
    places = [math.log(point.position) for point in points]
    intervals = [point.ratio.interval for point in points if point.ratio]
    sides = [_side(interval) for interval in intervals]
    clear = [index for index, side in enumerate(sides) if side]
    if not clear:
        return []
    first, last = clear[0], clear[-1]
    spans = [(left, right, sides[left] < 0) for left, right in pairwise(clear)]
    if (intervals[0].estimate > 1) != (sides[first] > 0):
        spans.insert(0, (0, first, sides[first] > 0))
    if (intervals[-1].estimate > 1) != (sides[last] > 0):
        spans.append((last, len(sides) - 1, sides[last] < 0))
    found = []
    for left, right, rising in spans:
        here = slice(left, right + 1)
        crossing = _crossing(places[here], intervals[here], rising=rising)
        if crossing is not None:
            bends = _bends(places, intervals, range(left, right), rising=rising)
            found.append(_widened(crossing, bends))
    return found


def _bends(
    places: list[float], intervals: list[Interval], segments: range, *, rising: bool
) -> list[float]:
    """Return where the curve passes 0 at the latest and the earliest, if it bends one way only.

    Then it lies between the straight line through two neighbours and those through each of them and
    the nearest workload before or after it, gone on with. Several workloads may be at one place.
    """
    logs = [_log(interval.estimate) for interval in intervals]
    found = []
    for index in segments:
        if not _passes_0(logs[index], logs[index + 1], rising=rising):
            continue
        left, right = places[index], places[index + 1]
        before = [at for at in range(index) if places[at] < left]
        after = [at for at in range(index + 2, len(places)) if places[at] > right]
        for own, other, far in ((index, before[-1:], right), (index + 1, after[:1], left)):
            for at in other:
                slope = (logs[at] - logs[own]) / (places[at] - places[own])
                goes_there = slope > 0 if rising else slope < 0
                place = places[own] - logs[own] / slope if goes_there else far
                found.append(min(max(place, left), right))
    return found


def _widened(crossing: Crossing, bends: list[float]) -> Crossing:
    """Extend the band to these places; an end that is open stays so."""
    ends = [math.exp(place) for place in bends]
    low = crossing.low if crossing.low is None else min([crossing.low, *ends])
    high = crossing.high if crossing.high is None else max([crossing.high, *ends])
    return replace(crossing, low=low, high=high)


def _crossing(places: list[float], intervals: list[Interval], *, rising: bool) -> Crossing | None:
    """Interpolate within a span; where noise crosses more than once, take the middle."""
    middle = _passes(places, [interval.estimate for interval in intervals], rising=rising)
    lows = _passes(places, [interval.low for interval in intervals], rising=rising)
    highs = _passes(places, [interval.high for interval in intervals], rising=rising)
    if not middle:
        return None
    early, late = (highs, lows) if rising else (lows, highs)
    return Crossing(
        math.exp((middle[0] + middle[-1]) / 2),
        math.exp(early[0]) if early else None,
        math.exp(late[-1]) if late else None,
        faster_below=rising,
    )


def _passes(places: list[float], ratios: list[float], *, rising: bool) -> list[float]:
    """Return where the piecewise linear curve of log ratios passes 0 in one direction."""
    found = []
    for index, (left, right) in enumerate(pairwise(map(_log, ratios))):
        if _passes_0(left, right, rising=rising):
            share = left / (left - right)
            found.append(places[index] + share * (places[index + 1] - places[index]))
    return found


def _log(ratio: float) -> float:
    """Logarithm; an open end of an interval lies beyond every crossing, at a finite distance."""
    return math.log(min(max(ratio, FLOOR), 1 / FLOOR))


def _passes_0(left: float, right: float, *, rising: bool) -> bool:
    return (left < 0) != (right < 0) and (left < 0) == rising
