"""The figures of the page: ratios at a glance, break-even curves, distance from the limits."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.schema import Rate
from reports import words
from reports.break_even import Curve, Group, Point
from reports.drawing import TEXT, colour, log_ticks, marker, set_log_ticks, style, to_svg
from reports.efficiency import Efficiency
from reports.speed import Comparison, Setting

PANEL_INCHES = (3.3, 2.7)
RATIO_INCHES = (3.3, 0.9, 0.32)
"""Width of a panel, height without rows, height of a row."""
ROOFLINE_INCHES = (6.6, 3.6)
DOT_SIZE = 4.5
RATIO_TICKS = (1, 2, 5)


def ratio_figure(comparison: Comparison, setting: Setting, identity: str) -> str:
    """Draw the ratio to the baseline of every workload, a row for each implementation."""
    tables = comparison.of(setting)
    names = [name for name in comparison.implementations if name != comparison.baseline]
    found = {
        phase: {
            name: [
                row.ratio.interval.estimate
                for table in tables
                if (row := table.find(name, phase)) is not None and row.ratio is not None
            ]
            for name in names
        }
        for phase in comparison.headline
    }
    shown = [name for name in names if any(rows[name] for rows in found.values())]
    values = [value for rows in found.values() for row in rows.values() for value in row]
    if not values:
        return ""
    low, high = min(*values, 1 / 1.5), max(*values, 1.5)
    width, height, row_height = RATIO_INCHES
    with style(identity):
        figure = Figure(
            (width * len(found), height + row_height * len(shown)), layout="constrained"
        )
        panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
        for panel, (phase, rows) in zip(panels, found.items(), strict=True):
            panel.set_title(str(phase))
            panel.set_xscale("log")
            panel.axvline(1, color=TEXT, linewidth=1)
            for place, name in enumerate(shown):
                _dots(panel, rows[name], -place, comparison.implementations.index(name))
            panel.set_xlim(low / 1.15, high * 1.15)
            ticks = log_ticks(low, high, RATIO_TICKS)
            set_log_ticks(panel, "x", ticks, [words.plain(tick) for tick in ticks])
            panel.set_ylim(-len(shown) + 0.4, 0.6)
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
        figure.supxlabel("time relative to the baseline (left of 1 is faster)", fontsize=9)
        return to_svg(figure, "Ratios to the baseline by implementation")


def break_even_figure(groups: Sequence[Group], comparison: Comparison, identity: str) -> str:
    """Draw time against position, a panel for each phase of one group."""
    with style(identity):
        width, height = PANEL_INCHES
        figure = Figure((width * len(groups), height), layout="constrained")
        panels = figure.subplots(1, len(groups), squeeze=False)[0]
        for panel, group in zip(panels, groups, strict=True):
            _curves_panel(panel, group, comparison)
        return to_svg(figure, "Time against density, by phase")


def roofline_figure(
    cells: Sequence[Efficiency], limit: Rate, comparison: Comparison, identity: str
) -> str:
    """Draw multiply-adds per second over intensity, under the two limits of the machine."""
    xs = [cell.intensity for cell in cells]
    with style(identity):
        figure = Figure(ROOFLINE_INCHES, layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        top, slope = limit.multiply_adds_per_second, limit.bytes_per_second
        knee = top / slope
        left, right = min(*xs, knee) / 1.5, max(*xs, knee) * 1.5
        axes.plot([left, knee, right], [left * slope, top, top], color=TEXT, linewidth=1.4)
        for index, name in enumerate(comparison.implementations):
            own = [cell for cell in cells if cell.row.cell.implementation == name]
            axes.plot(
                [cell.intensity for cell in own],
                [cell.multiply_adds_per_second for cell in own],
                marker(index),
                color=colour(index),
                markersize=DOT_SIZE,
                alpha=0.75,
                markeredgewidth=0,
            )
        low, high = axes.get_ylim()
        ticks = log_ticks(left, right)
        set_log_ticks(axes, "x", ticks, [words.plain(tick) for tick in ticks])
        ticks = log_ticks(low, high)
        set_log_ticks(axes, "y", ticks, [words.rate(tick, "").rstrip() for tick in ticks])
        axes.set_xlim(left, right)
        axes.set_xlabel("multiply-adds per byte")
        axes.set_ylabel("multiply-adds per second")
        return to_svg(figure, "Rates of all workloads under the limits of the machine")


def _dots(panel: Axes, values: list[float], place: float, index: int) -> None:
    if not values:
        return
    panel.plot(
        values,
        [place] * len(values),
        marker(index),
        color=colour(index),
        markersize=DOT_SIZE,
        alpha=0.45,
        markeredgewidth=0,
    )
    mean = math.exp(sum(map(math.log, values)) / len(values))
    panel.plot([mean], [place], marker(index), color="none", markeredgecolor=TEXT, markersize=9)


def _curves_panel(panel: Axes, group: Group, comparison: Comparison) -> None:
    panel.set_title(str(group.phase))
    panel.set_xscale("log")
    panel.set_yscale("log")
    for curve in group.curves:
        index = comparison.implementations.index(curve.implementation)
        _curve(panel, curve, index)
    against = next((c for c in group.curves if c.implementation == comparison.baseline), None)
    if against is not None:
        for curve in group.curves:
            index = comparison.implementations.index(curve.implementation)
            _mark_crossings(panel, curve, against, index)
    places = list(group.positions)
    if group.is_density:
        ticks = log_ticks(places[0], places[-1], RATIO_TICKS)
        set_log_ticks(panel, "x", ticks, [words.plain(100 * tick) + " %" for tick in ticks])
        panel.set_xlabel("density")
    else:
        set_log_ticks(panel, "x", places, [words.plain(place) for place in places])
        panel.set_xlabel("position in the group")
    panel.set_xlim(places[0] / 1.15, places[-1] * 1.15)
    low, high = panel.get_ylim()
    ticks = log_ticks(low, high)
    set_log_ticks(panel, "y", ticks, [words.plain_seconds(tick) for tick in ticks])


def _curve(panel: Axes, curve: Curve, index: int) -> None:
    places = [point.position for point in curve.points]
    panel.fill_between(
        places,
        [point.seconds.low for point in curve.points],
        [point.seconds.high for point in curve.points],
        color=colour(index),
        alpha=0.2,
        linewidth=0,
    )
    panel.plot(
        places,
        [point.seconds.estimate for point in curve.points],
        marker=marker(index),
        color=colour(index),
        markersize=DOT_SIZE,
        linewidth=1.3,
        linestyle="--" if index == 0 else "-",
    )


def _mark_crossings(panel: Axes, curve: Curve, against: Curve, index: int) -> None:
    """Mark a crossing by a ring on the baseline's curve, and its band along the density axis."""
    first, last = against.points[0].position, against.points[-1].position
    for crossing in curve.crossings:
        low = first if crossing.low is None else crossing.low
        high = last if crossing.high is None else crossing.high
        panel.axvspan(low, high, color=colour(index), alpha=0.16, linewidth=0)
        panel.axvline(crossing.position, color=colour(index), linewidth=0.9, linestyle=":")
        panel.plot(
            [crossing.position],
            [_interpolated(against.points, crossing.position)],
            "o",
            color="none",
            markeredgecolor=colour(index),
            markeredgewidth=1.6,
            markersize=10,
        )


def _interpolated(points: Sequence[Point], position: float) -> float:
    """Time at a position between points, straight in logarithms."""
    for left, right in zip(points, points[1:], strict=False):
        if left.position <= position <= right.position and left.position < right.position:
            share = math.log(position / left.position) / math.log(right.position / left.position)
            growth = right.seconds.estimate / left.seconds.estimate
            return float(left.seconds.estimate * growth**share)
    return points[-1].seconds.estimate
