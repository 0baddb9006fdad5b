"""Break-even density by grid size and number of channels, over groups that differ in nothing else."""

import math
import re
from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.phases import Phase
from reports import words
from reports.break_even import Crossing, Curve, Group, Outcome
from reports.drawing import log_ticks, sheet, style, to_svg
from reports.figures import (
    BOTTOM,
    LEFT,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    RIGHT,
    ROOM,
    TOP,
    X_TICKS,
    Y_TICKS,
)
from reports.panel import Panel
from reports.speed import Comparison, Setting

GRID, CHANNELS = "grid size", "channels"
NAMED_GRID = re.compile(r"\bgrid ?\d+\b")
NAMED_CHANNELS = re.compile(r"\bc\d+\b|\b\d+ channels\b")
LOWEST_CEILING = 1.0
FEWEST = 2


@dataclass(frozen=True)
class Place:
    """Break-even in one place of the map: the curves of one group, by implementation."""

    grid: float
    channels: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Map:
    """Groups that differ in grid size and number of channels only, in one setting.

    Attributes:
        name: of the groups, with what differs left open.
    """

    name: str
    setting: Setting
    places: tuple[Place, ...]


def maps(comparison: Comparison, curves: list[Group]) -> list[Map]:
    """Return a map of all groups that share a name but for grid size and channels, if two or more."""
    sizes = {
        (table.workload.suite, table.workload.group): (
            math.prod(table.workload.grid_size) ** (1 / len(table.workload.grid_size)),
            table.workload.channels,
        )
        for table in comparison.tables
        if table.workload.grid_size  # else nobody got as far as making it
    }
    found: dict[tuple[str, str, Setting], dict[tuple[float, int], list[Group]]] = {}
    for group in curves:
        family = NAMED_CHANNELS.sub("any channels", NAMED_GRID.sub("any grid", group.name))
        place = sizes.get((group.suite, group.name))
        if place is None:
            continue
        own = found.setdefault((group.suite, family, group.setting), {})
        own.setdefault(place, []).append(group)
    return [
        Map(
            family,
            setting,
            tuple(
                Place(grid, channels, tuple(own[grid, channels])) for grid, channels in sorted(own)
            ),
        )
        for (_, family, setting), own in found.items()
        if len(own) >= FEWEST
    ]


def find(place: Place, name: str, phase: Phase) -> Curve | None:
    """Return the curve of an implementation in a phase."""
    for group in place.groups:
        if group.phase is phase:
            return next((each for each in group.curves if each.implementation == name), None)
    return None


def said(curve: Curve | None) -> str:
    """What the map says of a curve: below which density it is faster, with the band."""
    if curve is None:
        return "·"
    match curve.outcome:
        case Outcome.FASTER:
            return "everywhere"
        case Outcome.SLOWER:
            return "nowhere"
        case Outcome.CROSSES:
            crossing = curve.crossings[-1]
            places = [words.percent(each.position) for each in curve.crossings]
            if len(places) > 1:
                return f"changes at {words.listed(places)}"
            return places[0] if crossing.faster_below else f"above {places[0]}"
        case _:
            return "not told apart"


def _below(curve: Curve | None) -> Crossing | None:
    """The one density below which an implementation is faster, if there is one."""
    if curve is None or len(curve.crossings) != 1 or not curve.crossings[0].faster_below:
        return None
    return curve.crossings[0]


def band(curve: Curve | None) -> str:
    """The band of a crossing, if there is one only."""
    if curve is None or len(curve.crossings) != 1:
        return ""
    low, high = curve.crossings[-1].low, curve.crossings[-1].high
    ends = ["open" if end is None else words.percent(end) for end in (low, high)]
    return words.DASH.join([ends[0].removesuffix(f"{words.SPACE}%"), ends[1]])


def shade(curve: Curve | None) -> str:
    """Class of a shade: the more densities an implementation is faster at, the more."""
    if curve is None:
        return ""
    if curve.outcome is Outcome.FASTER:
        return "faster far"
    if curve.outcome is Outcome.SLOWER:
        return "slower mid"
    crossing = _below(curve)
    if crossing is None:
        return ""
    position = crossing.position
    return "faster mid" if position >= 1 / 3 else "faster near" if position >= 1 / 10 else ""


def map_figure(found: Map, comparison: Comparison, identity: str) -> str:
    """Draw break-even density over grid size, and below it over channels, the other held.

    A panel is a phase.

    Returns:
        SVG, or nothing where no two places in a row have a crossing.
    """
    drawn = {
        axis: [
            (phase, kept)
            for phase in comparison.headline
            if (kept := _rows(found, axis, phase, comparison))
        ]
        for axis in (GRID, CHANNELS)
    }
    lines = [(axis, panels) for axis, panels in drawn.items() if panels]
    if not lines:
        return ""
    with style(identity):
        widest = max(len(panels) for _, panels in lines)
        figure = sheet(PANEL_WIDTH * widest, PANEL_HEIGHT * len(lines))
        for line, (axis, panels) in enumerate(reversed(lines)):
            for number, (phase, kept) in enumerate(panels):
                corner = number * PANEL_WIDTH + LEFT, line * PANEL_HEIGHT + BOTTOM
                _panel(figure, corner, f"{phase}, by {axis}", axis, kept)
        return to_svg(figure, "Break-even density by grid size and by channels, by phase")


Points = list[tuple[float, float, float, float]]
"""Size, break-even density, and the ends of its band where they are known."""


def _rows(found: Map, axis: str, phase: Phase, comparison: Comparison) -> list[tuple[int, Points]]:
    """Return the crossings of each implementation along an axis, for the other's commonest value."""
    held = [place.channels if axis == GRID else place.grid for place in found.places]
    commonest = max(sorted(set(held)), key=held.count)
    if held.count(commonest) < FEWEST:
        return []
    places = [place for place, value in zip(found.places, held, strict=True) if value == commonest]
    rows = []
    for index, name in enumerate(comparison.implementations):
        points: Points = []
        for place in places:
            curve = find(place, name, phase)
            crossing = _below(curve)
            if crossing is not None:
                middle = crossing.position
                at = place.grid if axis == GRID else float(place.channels)
                points.append((at, middle, crossing.low or middle, crossing.high or middle))
        if len(points) >= FEWEST:
            rows.append((index, points))
    return rows


def _panel(
    figure: Figure,
    corner: tuple[float, float],
    title: str,
    axis: str,
    rows: list[tuple[int, Points]],
) -> None:
    every = [point for _, points in rows for point in points]
    x_range = (min(point[0] for point in every) / ROOM, max(point[0] for point in every) * ROOM)
    y_range = (min(point[2] for point in every) / ROOM, LOWEST_CEILING * ROOM)
    box = (*corner, PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - BOTTOM - TOP)
    panel = Panel(figure, *box, x_range, y_range)
    panel.x_ticks(log_ticks(*x_range, X_TICKS), words.plain)
    panel.y_ticks(log_ticks(*y_range, Y_TICKS), words.plain_percent)
    for index, points in rows:
        sizes = [point[0] for point in points]
        panel.band(sizes, [point[2] for point in points], [point[3] for point in points], index)
        panel.curve(sizes, [point[1] for point in points], index)
    panel.frame(title, axis)
