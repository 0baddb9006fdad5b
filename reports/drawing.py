"""Matplotlib's SVG made fit for a page: deterministic, small, coloured by the page's own CSS.

Colours are drawn as placeholders and then replaced by CSS variables, so that a figure follows dark
mode. No text of a run file enters a figure: names stand in the page's legend, which escapes them.
There are no axes of matplotlib's, which take ten times as long to draw: a page may hold a hundred
panels.
"""

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from reports.slim_svg import slim

TEXT = "#f0d001"
GRID = "#f0d002"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "h", ">", "*")
SERIES_COLOURS = 8
"""As many as style.css defines; after that the marker alone tells series apart."""
LEGEND_SIZE = 9
POINTS_PER_INCH = 72
LARGEST_SCALE, SMALLEST_SCALE = 1.32, 0.95
"""Pixels for a point on a wide and on a narrow screen."""
_COLOURS = {TEXT: "currentColor", GRID: "var(--grid)"} | {
    f"#f0e{index:03x}": f"var(--series-{index})" for index in range(SERIES_COLOURS)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.color": TEXT,
    "text.parse_math": False,
    "path.simplify": False,
    "savefig.facecolor": "none",
}


@contextmanager
def style(identity: str) -> Iterator[None]:
    """Draw by these settings and not by the user's; the identity keeps apart the ids of figures."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | {"svg.hashsalt": identity})
        yield


def sheet(width: float, height: float) -> Figure:
    """Make an empty figure of a size in points."""
    figure = Figure((width / POINTS_PER_INCH, height / POINTS_PER_INCH))
    figure.patch.set_visible(False)
    return figure


def colour(index: int) -> str:
    """Placeholder colour of a series, the baseline's being 0."""
    return f"#f0e{colour_number(index):03x}"


def colour_number(index: int) -> int:
    """Number of the CSS variable that colours a series; only the baseline has 0."""
    return 0 if index == 0 else 1 + (index - 1) % (SERIES_COLOURS - 1)


def marker(index: int) -> str:
    """Marker shape of a series."""
    return MARKERS[index % len(MARKERS)]


def marker_path(index: int) -> str:
    """The same shape as path data of SVG, about `LEGEND_SIZE` wide, for the page's legend."""
    found = MarkerStyle(marker(index))
    path = found.get_path().transformed(found.get_transform())
    places = np.asarray(path.to_polygons(closed_only=False)[0], dtype=float) * LEGEND_SIZE
    return f"M{'L'.join(f'{x:.1f} {-y:.1f}' for x, y in places)}Z"


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between two positive ones, not many more than `most`."""
    found: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [
            step * 10.0**power
            for power in range(-12, 18)
            for step in steps
            if low * 0.999 <= step * 10.0**power <= high * 1.001
        ]
        if len(found) <= most:
            return found
    return found[:: 1 + (len(found) - 1) // most]


def to_svg(figure: Figure, title: str) -> str:
    """Save a figure as an inline SVG element with a title for those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    view_box = re.search(r'viewBox="[^"]*"', text)
    text = text[text.index(">", text.index("<svg")) + 1 :]
    for wrapping in (r"<metadata>.*?</metadata>", r"<defs>\s*<style.*?</defs>", r"<!--.*?-->"):
        text = re.sub(wrapping, "", text, flags=re.DOTALL)
    for placeholder, meaning in _COLOURS.items():
        text = text.replace(placeholder, meaning)
    text = text.replace("xlink:href", "href")
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*|font-family: [^;\"]*; ", _font_size, text)
    text = re.sub(r"-?\d+\.\d{2,}(?=[^<>]*>)", _shorter, text)
    text = _without_idle_ids(text)
    text = re.sub(r"[ \n]+", " ", text).replace("> <", "><").replace(' z "', 'z"')
    if "<g " not in text:
        text = text.replace("<g>", "").replace("</g>", "")
    text = slim(text)
    width = figure.get_figwidth() * POINTS_PER_INCH
    look = f"width: {width * LARGEST_SCALE:.0f}px; min-width: {width * SMALLEST_SCALE:.0f}px"
    opening = f'<svg {view_box.group() if view_box else ""} style="{look}" role="img" '
    return f'{opening}aria-label="{html.escape(title)}">{text.strip()}'


def _font_size(match: re.Match[str]) -> str:
    """Leave the family of the font to the page."""
    return f"font-size: {match.group(1)}px" if match.group(1) else ""


def _shorter(match: re.Match[str]) -> str:
    """A coordinate in tenths of a point, finer than any screen."""
    tenths = round(10 * float(match.group()))
    return f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths / 10:.1f}"


def _without_idle_ids(text: str) -> str:
    """Leave out ids that nothing in the figure refers to: several figures share a page."""
    used = set(re.findall(r"#([\w-]+)", text))
    return re.sub(
        r' id="([^"]+)"', lambda match: match.group() if match.group(1) in used else "", text
    )
