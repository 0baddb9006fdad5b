"""The figures of the page: ratios at a glance, break-even curves, distance from the limits."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import geometric_mean

from matplotlib.figure import Figure

from bench.results.schema import Rate
from bench.statistics.intervals import Interval
from reports import sentences, words
from reports.break_even import Crossing, Curve, Group, Point
from reports.drawing import TEXT, colour, log_ticks, marker, sheet, style, to_svg
from reports.efficiency import Efficiency
from reports.panel import Panel
from reports.speed import Comparison, Setting

PANEL_WIDTH, PANEL_HEIGHT = 240.0, 200.0
ROW_HEIGHT = 22.0
LEFT, RIGHT, BOTTOM, TOP = 44.0, 14.0, 38.0, 24.0
ROOFLINE_SIZE = (520.0, 260.0)
X_TICKS, Y_TICKS = 5, 7
ROOM = 1.15
"""Factor by which axes reach beyond the data."""
LEAST_RATIO_SPAN = 1.5
MOST_OF_A_BAND = 3.0
"""Factor by which an interval may stretch an axis beyond the estimates; what is wider is cut."""
AXIS_NAME = re.compile(r"[A-Za-z0-9 ()/%.,-]{1,30}")
"""What may label an axis: other text of a run file stays out of figures."""


def ratio_figure(comparison: Comparison, setting: Setting, identity: str) -> str:
    """Draw the ratio to the baseline of every workload, a row for each implementation.

    Returns:
        SVG, or nothing where no ratio is known.
    """
    tables = comparison.of(setting)
    found = {
        (phase, name): [
            row.ratio.interval.estimate
            for table in tables
            if (row := table.find(name, phase)) is not None and row.ratio is not None
        ]
        for phase in comparison.headline
        for name in comparison.implementations
    }
    shown = [
        name
        for name in comparison.implementations
        if any(found[phase, name] for phase in comparison.headline)
    ]
    values = [value for ratios in found.values() for value in ratios]
    if not values:
        return ""
    x_range = (
        min(*values, 1 / LEAST_RATIO_SPAN) / ROOM,
        max(*values, LEAST_RATIO_SPAN) * ROOM,
    )
    height = ROW_HEIGHT * len(shown)
    with style(identity):
        figure = sheet(PANEL_WIDTH * len(comparison.headline), height + BOTTOM + TOP)
        for place, phase in enumerate(comparison.headline):
            left = place * PANEL_WIDTH + RIGHT
            box = (left, BOTTOM, PANEL_WIDTH - 2 * RIGHT, height)
            # The vertical axis is a list: row r lies at 2 to the power of r.
            panel = Panel(figure, *box, x_range, (2**-0.5, 2 ** (len(shown) - 0.5)))
            panel.x_ticks(
                log_ticks(*x_range, X_TICKS), lambda tick: words.plain(tick) + words.TIMES
            )
            panel.frame(str(phase), "time relative to the baseline")
            panel.vertical(1, TEXT)
            for height_rank, name in enumerate(reversed(shown)):
                index = comparison.implementations.index(name)
                _ratios(panel, found[phase, name], 2.0**height_rank, index)
        return to_svg(figure, "Time relative to the baseline: left of 1 is faster")


def break_even_figure(groups: Sequence[Group], comparison: Comparison, identity: str) -> str:
    """Draw time against position for one group, a panel for each phase."""
    with style(identity):
        figure = sheet(PANEL_WIDTH * len(groups), PANEL_HEIGHT)
        for place, group in enumerate(groups):
            curves_panel(figure, place * PANEL_WIDTH + LEFT, group, comparison)
        return to_svg(figure, "Time against density, by phase")


def roofline_figure(
    cells: Sequence[Efficiency], limit: Rate, comparison: Comparison, identity: str
) -> str:
    """Draw multiply-adds per second over multiply-adds per byte, under the machine's two limits."""
    top, slope = limit.multiply_adds_per_second, limit.bytes_per_second
    knee = top / slope
    xs = [*(cell.intensity for cell in cells), knee]
    ys = [*(cell.multiply_adds_per_second for cell in cells), top]
    x_range = (min(xs) / ROOM**2, max(xs) * ROOM**2)
    y_range = (min(*ys, x_range[0] * slope) / ROOM, max(ys) * ROOM)
    width, height = ROOFLINE_SIZE
    with style(identity):
        figure = sheet(width, height)
        box = (LEFT, BOTTOM, width - LEFT - RIGHT, height - BOTTOM - TOP)
        panel = Panel(figure, *box, x_range, y_range)
        panel.x_ticks(log_ticks(*x_range, X_TICKS), words.plain)
        panel.y_ticks(log_ticks(*y_range, Y_TICKS), words.plain_rate)
        panel.frame("multiply-adds per second", "multiply-adds per byte")
        panel.limit([x_range[0], knee, x_range[1]], [x_range[0] * slope, top, top])
        for index, name in enumerate(comparison.implementations):
            own = [cell for cell in cells if cell.row.cell.implementation == name]
            if own:
                panel.dots(
                    [cell.intensity for cell in own],
                    [cell.multiply_adds_per_second for cell in own],
                    index,
                    alpha=0.75,
                )
        return to_svg(figure, "Rates of all workloads under the limits of the machine")


def _ratios(panel: Panel, ratios: list[float], row: float, index: int) -> None:
    """Draw a row of dots and a ring at their geometric mean."""
    if ratios:
        panel.dots(ratios, [row] * len(ratios), index, alpha=0.65)
        mean = geometric_mean(ratios)
        panel.ring(mean, row, TEXT, marker(index), 9)


def curves_panel(figure: Figure, left: float, group: Group, comparison: Comparison) -> None:
    """Draw the curves of a group, with crossings, from a place on the sheet on."""
    places = group.positions
    seconds = [point.seconds for curve in group.curves for point in curve.points]
    x_range = (places[0] / ROOM, places[-1] * ROOM)
    y_range = _seconds_range(seconds)
    box = (left, BOTTOM, PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - BOTTOM - TOP)
    panel = Panel(figure, *box, x_range, y_range)
    panel.y_ticks(log_ticks(*y_range, Y_TICKS), words.plain_seconds)
    if group.is_density:
        panel.x_ticks(log_ticks(*x_range, X_TICKS), words.plain_percent)
    else:
        panel.x_ticks(places, words.plain)
    numbers = {name: index for index, name in enumerate(comparison.implementations)}
    against = next((c for c in group.curves if c.implementation == comparison.baseline), None)
    if against is not None:
        marked = 0
        for curve in group.curves:
            for crossing in curve.crossings:
                index = numbers[curve.implementation]
                _mark_crossing(panel, crossing, against, index)
                text = sentences.position(group, crossing.position)
                panel.note(crossing.position, text, colour(index), marked)
                marked += 1
    # The baseline comes last: dashed, it hides nothing that it lies on.
    for curve in sorted(group.curves, key=lambda curve: curve is against):
        _curve(panel, curve, numbers[curve.implementation])
    panel.frame(str(group.phase), axis_label(group.axis))


def axis_label(axis: str) -> str:
    """What an axis is called in a figure."""
    return axis if AXIS_NAME.fullmatch(axis) else "position in the group"


def _seconds_range(seconds: Sequence[Interval]) -> tuple[float, float]:
    """Ends of an axis that holds all estimates, and intervals unless they are very wide."""
    least = min(interval.estimate for interval in seconds)
    most = max(interval.estimate for interval in seconds)
    low = max(min(interval.low for interval in seconds), least / MOST_OF_A_BAND)
    high = min(max(interval.high for interval in seconds), most * MOST_OF_A_BAND)
    return low / ROOM, high * ROOM


def _curve(panel: Panel, curve: Curve, index: int) -> None:
    places = [point.position for point in curve.points]
    panel.band(
        places,
        [point.seconds.low for point in curve.points],
        [point.seconds.high for point in curve.points],
        index,
    )
    panel.curve(places, [point.seconds.estimate for point in curve.points], index)


def _mark_crossing(panel: Panel, crossing: Crossing, against: Curve, index: int) -> None:
    """Mark a crossing by a ring on the baseline's curve; its band, where closed, is filled."""
    if crossing.low is not None and crossing.high is not None:
        panel.span(crossing.low, crossing.high, index)
    panel.vertical(crossing.position, colour(index), ":")
    height = _interpolated(against.points, crossing.position)
    panel.ring(crossing.position, height, colour(index))


def _interpolated(points: Sequence[Point], position: float) -> float:
    """Time at a position between points, straight in logarithms."""
    for left, right in pairwise(points):
        if left.position <= position <= right.position and left.position < right.position:
            share = math.log(position / left.position) / math.log(right.position / left.position)
            growth = right.seconds.estimate / left.seconds.estimate
            return float(left.seconds.estimate * growth**share)
    return points[-1].seconds.estimate
