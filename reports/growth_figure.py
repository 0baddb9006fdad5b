"""The figure of a growth study: time against size by phase, and peak memory beside it."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.phases import Phase
from reports import words
from reports.drawing import log_ticks, sheet, style, to_svg
from reports.figures import (
    BOTTOM,
    LEFT,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    RIGHT,
    ROOM,
    TOP,
    Y_TICKS,
    axis_label,
    curves_panel,
)
from reports.growth import Line, Part, Study
from reports.panel import Panel
from reports.speed import Comparison

SHOWN_PEAK = (Phase.FORWARD_COLD, Phase.FORWARD, Phase.TRAIN_STEP)
"""Whose peaks are drawn, in the order of preference: a cold pass holds everything at once."""


def growth_figure(study: Study, comparison: Comparison, identity: str) -> str:
    """Draw a panel for each phase, and one for peak memory where two sizes have it."""
    peaks = _drawable_peaks(study)
    panels = len(study.curves) + (peaks is not None)
    with style(identity):
        figure = sheet(PANEL_WIDTH * panels, PANEL_HEIGHT)
        for place, group in enumerate(study.curves):
            curves_panel(figure, place * PANEL_WIDTH + LEFT, group, comparison)
        if peaks is not None:
            left = len(study.curves) * PANEL_WIDTH + LEFT
            _memory_panel(figure, left, study, peaks, comparison.implementations)
        return to_svg(figure, f"Time and memory against {axis_label(study.axis)}")


def _drawable_peaks(study: Study) -> Part | None:
    parts = {part.phase: part for part in study.parts if any(map(_is_curve, part.peaks))}
    return next((parts[phase] for phase in SHOWN_PEAK if phase in parts), None)


def _is_curve(line: Line) -> bool:
    return sum(value is not None for value in line.values) > 1


def _memory_panel(
    figure: Figure, left: float, study: Study, part: Part, implementations: Sequence[str]
) -> None:
    known = [value for line in part.peaks for value in line.values if value is not None]
    x_range = (study.sizes[0] / ROOM, study.sizes[-1] * ROOM)
    y_range = (min(known) / ROOM, max(known) * ROOM)
    box = (left, BOTTOM, PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - BOTTOM - TOP)
    panel = Panel(figure, *box, x_range, y_range)
    panel.y_ticks(log_ticks(*y_range, Y_TICKS), words.plain_bytes)
    panel.x_ticks(study.sizes, words.plain)
    for line in sorted(part.peaks, key=lambda line: line.implementation == implementations[0]):
        points = [
            (size, value)
            for size, value in zip(study.sizes, line.values, strict=True)
            if value is not None
        ]
        index = implementations.index(line.implementation)
        panel.curve([size for size, _ in points], [value for _, value in points], index)
    panel.frame(f"{part.phase}, peak memory", axis_label(study.axis))
