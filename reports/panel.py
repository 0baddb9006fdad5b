"""A panel of a figure: a box on the sheet with two axes, logarithmic as a rule."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.transforms import Affine2D, Transform

from reports.drawing import GRID, POINTS_PER_INCH, TEXT, colour, marker

TICK_SIZE = 8.5
LABEL_SIZE = 9.0
TITLE_SIZE = 10.0
MARKER_SIZE = 4.5
TICK_GAP = 5
LABEL_GAP = 20
NOTE_STEP = 10
NOTE_ROOM = 40


@dataclass(frozen=True)
class Panel:
    """Maps positive numbers on both axes to points on the sheet.

    Attributes:
        left, bottom, width, height: of the box, in points.
        x_range, y_range: smallest and largest number of either axis.
        x_is_straight: whether the horizontal axis is linear; then its numbers may be 0 or less.
    """

    figure: Figure
    left: float
    bottom: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_is_straight: bool = False

    @cached_property
    def _points(self) -> Transform:
        return Affine2D().scale(1 / POINTS_PER_INCH) + self.figure.dpi_scale_trans

    def x(self, value: float) -> float:
        """Horizontal place of a number, in points."""
        if self.x_is_straight:
            low, high = self.x_range
            return self.left + self.width * (value - low) / (high - low)
        return self.left + self.width * _share(value, self.x_range)

    def y(self, value: float) -> float:
        """Vertical place of a number, in points."""
        return self.bottom + self.height * _share(value, self.y_range)

    def frame(self, title: str, x_label: str) -> None:
        """Draw title, axis lines and the name of the horizontal axis."""
        right = self.left + self.width
        top = self.bottom + self.height
        edges = [self.left, self.left, right], [top, self.bottom, self.bottom]
        self._line(*edges, color=TEXT, linewidth=0.8)
        self._write(self.left, top + 7, title, TITLE_SIZE, weight="bold")
        middle = self.left + self.width / 2
        self._write(middle, self.bottom - LABEL_GAP, x_label, LABEL_SIZE, ha="center", va="top")

    def x_ticks(self, places: Iterable[float], text: Callable[[float], str]) -> None:
        """Draw a grid line and a number at each of these places of the horizontal axis."""
        found = {self.x(place): text(place) for place in places}
        self._grid(found, [self.bottom, self.bottom + self.height], upright=True)
        for at, label in found.items():
            self._write(at, self.bottom - TICK_GAP, label, TICK_SIZE, ha="center", va="top")

    def y_ticks(self, places: Iterable[float], text: Callable[[float], str]) -> None:
        """Draw a grid line and a number at each of these places of the vertical axis."""
        found = {self.y(place): text(place) for place in places}
        self._grid(found, [self.left, self.left + self.width], upright=False)
        for at, label in found.items():
            self._write(self.left - TICK_GAP, at, label, TICK_SIZE, ha="right", va="center")

    def curve(
        self, xs: Sequence[float], ys: Sequence[float], index: int, *, every: int = 1
    ) -> None:
        """Draw points of a series, joined; the baseline's line, number 0, is dashed.

        Each `every`-th point carries a marker.
        """
        self._line(
            [self.x(value) for value in xs],
            [self.y(value) for value in ys],
            color=colour(index),
            linewidth=1.3,
            linestyle="--" if index == 0 else "-",
            marker=marker(index),
            markersize=MARKER_SIZE,
            markevery=every,
        )

    def reference(self, xs: Sequence[float], ys: Sequence[float], index: int) -> None:
        """Draw what a series is compared with: dashed in its colour, with empty markers."""
        self._line(
            [self.x(value) for value in xs],
            [self.y(value) for value in ys],
            color=colour(index),
            linewidth=1.0,
            linestyle=":",
            marker=marker(index),
            markersize=MARKER_SIZE,
            markerfacecolor="none",
        )

    def dots(self, xs: Sequence[float], ys: Sequence[float], index: int, *, alpha: float) -> None:
        """Draw points of a series, not joined."""
        self._line(
            [self.x(value) for value in xs],
            [self.y(value) for value in ys],
            color=colour(index),
            linestyle="none",
            marker=marker(index),
            markersize=MARKER_SIZE,
            markeredgewidth=0,
            alpha=alpha,
        )

    def ring(
        self, x: float, y: float, ring_colour: str, shape: str = "o", size: float = 10
    ) -> None:
        """Draw an empty marker around a place."""
        self._line(
            [self.x(x)],
            [self.y(y)],
            color="none",
            marker=shape,
            markersize=size,
            markeredgecolor=ring_colour,
            markeredgewidth=1.5,
        )

    def band(
        self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], index: int
    ) -> None:
        """Fill between two curves, as far as they lie in the panel."""
        least, most = self.y_range
        outline = [(self.x(x), self.y(max(y, least))) for x, y in zip(xs, lows, strict=True)]
        outline += [(self.x(x), self.y(min(y, most))) for x, y in zip(xs, highs, strict=True)][::-1]
        look: dict[str, Any] = {"facecolor": colour(index), "alpha": 0.2, "linewidth": 0}
        self.figure.add_artist(Polygon(outline, transform=self._points, **look))

    def span(self, low: float, high: float, index: int) -> None:
        """Fill the whole height between two places of the horizontal axis."""
        self.band([low, high], [self.y_range[0]] * 2, [self.y_range[1]] * 2, index)

    def vertical(self, place: float, line_colour: str, line_style: str = "-") -> None:
        """Draw a line over the whole height."""
        at = self.x(place)
        ends = [self.bottom, self.bottom + self.height]
        self._line([at, at], ends, color=line_colour, linewidth=1.0, linestyle=line_style)

    def note(self, place: float, text: str, text_colour: str, number: int) -> None:
        """Write beside a vertical line, each next note a line lower."""
        top = self.bottom + self.height - NOTE_STEP * number
        at = self.x(place)
        is_left = at < self.left + NOTE_ROOM
        look = {"ha": "left" if is_left else "right", "color": text_colour, "weight": "bold"}
        self._write(at + (3 if is_left else -3), top, text, TICK_SIZE, va="top", **look)

    def limit(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Draw a line that no point should pass."""
        places = [self.x(value) for value in xs], [self.y(value) for value in ys]
        self._line(*places, color=TEXT, linewidth=1.4)

    def _grid(self, places: Iterable[float], ends: Sequence[float], *, upright: bool) -> None:
        """Draw all lines of one direction as a single path with gaps."""
        across = [value for place in places for value in (place, place, math.nan)]
        along = [*ends, math.nan] * (len(across) // 3)
        xs, ys = (across, along) if upright else (along, across)
        self._line(xs, ys, color=GRID, linewidth=0.7)

    def _line(self, xs: Sequence[float], ys: Sequence[float], **look: Any) -> None:  # noqa: ANN401
        self.figure.add_artist(Line2D(xs, ys, transform=self._points, **look))

    def _write(self, x: float, y: float, text: str, size: float, **look: Any) -> None:  # noqa: ANN401
        self.figure.text(x, y, text, fontsize=size, transform=self._points, **look)


def _share(value: float, ends: tuple[float, float]) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])
