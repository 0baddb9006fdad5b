"""Curves of accuracy as plain data, and their figure.

No text of a run file enters a figure: what its lines are called stands in the page.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from reports import words
from reports.drawing import log_ticks, sheet, style, to_svg
from reports.panel import Panel

WIDTH, HEIGHT = 330.0, 220.0
LEFT, RIGHT, BOTTOM, TOP = 48.0, 12.0, 38.0, 26.0
TICKS = 6
NARROW = 5.0
"""A logarithmic axis that spans less than this factor gets evenly spaced numbers."""
ROOM = 1.15
"""Factor by which axes reach beyond the data."""
MARGIN = 0.04
"""Share of a straight axis that lies beyond the data on either side."""
MARKERS = 12
"""About as many of a curve's points carry a marker."""
FLOOR = 0.01
"""Where 0 is drawn on a logarithmic axis."""
MOST_SERIES = 8


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        points: x ascending; y in percent.
        number: of its colour and marker, from 1; a published curve has that of ours.
        is_published: drawn dashed.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    number: int
    is_published: bool = False


@dataclass(frozen=True)
class Chart:
    """Some lines over one axis.

    Attributes:
        heading: text of the page, which may name what run files name.
        caption: what the chart shows and what is found in it, in sentences.
        y_label, x_label: the figure's own words.
        is_straight: whether the horizontal axis is linear; logarithmic otherwise.
        x_ticks: where numbers stand; None for round ones.
    """

    heading: str
    caption: str
    series: tuple[Series, ...]
    y_label: str
    x_label: str
    is_straight: bool = False
    x_ticks: tuple[float, ...] | None = None
    x_text: Callable[[float], str] = words.plain


def draw(chart: Chart, identity: str) -> str:
    """Draw a chart with a logarithmic vertical axis in percent; SVG."""
    lines = [_drawable(chart, series) for series in chart.series]
    xs = [x for places, _ in lines for x in places]
    ys = [y for _, heights in lines for y in heights]
    x_range = _straight_range(xs) if chart.is_straight else (min(xs) / ROOM, max(xs) * ROOM)
    y_range = (min(ys) / ROOM, max(ys) * ROOM)
    with style(identity):
        figure = sheet(WIDTH, HEIGHT)
        box = (LEFT, BOTTOM, WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP)
        panel = Panel(figure, *box, x_range, y_range, x_is_straight=chart.is_straight)
        x_ticks = (
            straight_ticks(*x_range, least_step=1)
            if chart.is_straight
            else log_ticks(*x_range, TICKS)
        )
        panel.x_ticks(chart.x_ticks or x_ticks, chart.x_text)
        is_narrow = y_range[1] / y_range[0] < NARROW
        y_ticks = straight_ticks(*y_range) if is_narrow else log_ticks(*y_range, TICKS)
        panel.y_ticks(y_ticks, lambda value: f"{words.plain(value)} %")
        for series, (places, heights) in zip(chart.series, lines, strict=True):
            if series.is_published:
                panel.reference(places, heights, series.number)
            else:
                panel.curve(places, heights, series.number, every=1 + len(places) // MARKERS)
        panel.frame(chart.y_label, chart.x_label)
        return to_svg(figure, f"{chart.y_label} against {chart.x_label}")


def _drawable(chart: Chart, series: Series) -> tuple[list[float], list[float]]:
    """Places and heights of a line, those on logarithmic axes above 0."""
    least = -math.inf if chart.is_straight else FLOOR
    return (
        [max(x, least) for x, _ in series.points],
        [max(y, FLOOR) for _, y in series.points],
    )


def _straight_range(xs: list[float]) -> tuple[float, float]:
    low, high = min(xs), max(xs)
    room = MARGIN * (high - low) or 1.0
    return low - room, high + room


def straight_ticks(low: float, high: float, *, least_step: float = 0.0) -> list[float]:
    """Return round numbers between two others, evenly spaced, not more than `TICKS`."""
    power = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step = next(step * power for step in (1, 2, 5, 10) if (high - low) / (step * power) < TICKS)
    step = max(step, least_step)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(step * place, 9) for place in range(first, last + 1)]
