"""How time and memory grow with a size: the power law that fits, for each implementation."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy import special

from bench.phases import Phase
from bench.statistics.intervals import Interval
from bench.statistics.random_effects import CONFIDENCE
from reports.break_even import Curve, Group
from reports.speed import Comparison, Setting, Table

FEWEST_SIZES = 3
"""Through two points goes every power law."""


@dataclass(frozen=True)
class Line:
    """One implementation over the sizes of a study.

    Attributes:
        values: seconds, or bytes, by size; None where nothing was measured.
        power: the fitted exponent; None with fewer than `FEWEST_SIZES` sizes.
        relative: the same of the time relative to the baseline's; None for the baseline too.
        last_doubling: factor between the two largest sizes, brought to a doubling.
    """

    implementation: str
    values: tuple[float | None, ...]
    power: Interval | None
    relative: Interval | None
    last_doubling: float | None


@dataclass(frozen=True)
class Part:
    """What was measured in one phase: times, and peaks of memory where they are known."""

    phase: Phase
    times: tuple[Line, ...]
    peaks: tuple[Line, ...]


@dataclass(frozen=True)
class Study:
    """Workloads that differ in one size only, in one setting.

    Attributes:
        axis: what the sizes count: `grid size`, `batch size`, ...
        curves: the same as curves, phase by phase, for the figure.
    """

    name: str
    suite: str
    setting: Setting
    axis: str
    sizes: tuple[float, ...]
    parts: tuple[Part, ...]
    curves: tuple[Group, ...]


def studies(comparison: Comparison, groups: Iterable[Group]) -> list[Study]:
    """Make a study of every group whose position is no density; its phases come one by one."""
    found = []
    for (suite, name, setting), members in groupby(groups, _place):
        curves = tuple(group for group in members if not group.is_density)
        if not curves:
            continue
        sizes = tuple(sorted({size for group in curves for size in group.positions}))
        tables = [
            table
            for table in comparison.of(setting)
            if (table.workload.suite, table.workload.group) == (suite, name)
        ]
        parts = tuple(_part(comparison, tables, group, sizes) for group in curves)
        found.append(Study(name, suite, setting, curves[0].axis, sizes, parts, curves))
    return found


def power(sizes: Sequence[float], values: Sequence[float]) -> Interval | None:
    """Fit value = c * size^p by least squares on logarithms; p with its 99 % interval.

    Each size counts once, with the mean over its processes: processes of one size share its
    departure from the line, which is what the interval has to cover.

    Returns:
        None with fewer than `FEWEST_SIZES` sizes.
    """
    if len(sizes) < FEWEST_SIZES:
        return None
    across, along = np.log(sizes), np.log(values)
    across = across - across.mean()
    along = along - along.mean()
    spread = float(across @ across)
    slope = float(across @ along) / spread
    departures = along - slope * across
    freedom = len(sizes) - 2
    error = math.sqrt(float(departures @ departures) / freedom / spread)
    half_width = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Interval(slope, slope - half_width, slope + half_width)


def find_line(lines: Iterable[Line], name: str) -> Line | None:
    """Return the line of an implementation."""
    return next((line for line in lines if line.implementation == name), None)


def _place(group: Group) -> tuple[str, str, Setting]:
    return group.suite, group.name, group.setting


def _part(
    comparison: Comparison, tables: list[Table], group: Group, sizes: tuple[float, ...]
) -> Part:
    peaks: dict[str, dict[float, float]] = {}
    for table in tables:
        for name in comparison.implementations:
            row = table.find(name, group.phase)
            if row is not None and row.cell.peak_bytes:
                peaks.setdefault(name, {})[table.workload.position] = row.cell.peak_bytes
    return Part(
        group.phase,
        tuple(_time_line(curve, sizes) for curve in group.curves),
        tuple(_line(name, found, sizes) for name, found in peaks.items()),
    )


def _time_line(curve: Curve, sizes: tuple[float, ...]) -> Line:
    seconds = {point.position: point.seconds.estimate for point in curve.points}
    ratios = {
        point.position: point.ratio.interval.estimate
        for point in curve.points
        if point.ratio is not None
    }
    return _line(curve.implementation, seconds, sizes, ratios)


def _line(
    name: str,
    found: dict[float, float],
    sizes: tuple[float, ...],
    ratios: dict[float, float] | None = None,
) -> Line:
    measured = [size for size in sizes if size in found]
    compared = [size for size in sizes if size in (ratios or {})]
    return Line(
        name,
        tuple(found.get(size) for size in sizes),
        power(measured, [found[size] for size in measured]),
        power(compared, [ratios[size] for size in compared]) if ratios else None,
        _last_doubling(measured, found),
    )


def _last_doubling(measured: list[float], found: dict[float, float]) -> float | None:
    if len(measured) < 2:
        return None
    before, last = measured[-2:]
    return float((found[last] / found[before]) ** (1 / math.log2(last / before)))
