"""Matplotlib's SVG made fit for a page: deterministic, small, coloured by the page's own CSS.

Colours are drawn as placeholders and then replaced by CSS variables, so that a figure follows dark
mode. No text of a run file enters a figure: names stand in the page's legend, which escapes them.
"""

import io
import re
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

TEXT, GRID = "#f0d001", "#f0d002"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "h", ">", "*")
SERIES_COLOURS = 8
"""As many as style.css defines; after that the marker alone tells series apart."""
MOST_TICKS = 8
_COLOURS = {TEXT: "currentColor", GRID: "var(--grid)"} | {
    f"#f0e{index:03x}": f"var(--series-{index})" for index in range(SERIES_COLOURS)
}
_STYLE = {
    "svg.fonttype": "none",
    "text.color": TEXT,
    "text.parse_math": False,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": False,
}


def style(identity: str) -> AbstractContextManager[None]:
    """Settings under which a figure is made and saved; its identity keeps element ids apart."""
    return mpl.rc_context(_STYLE | {"svg.hashsalt": identity})


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
    """The same shape as path data of SVG, about 10 units wide, for the legend."""
    found = MarkerStyle(marker(index))
    path = found.get_path().transformed(found.get_transform())
    places = path.to_polygons(closed_only=False)[0] * 9
    steps = (f"{x:.1f} {-y:.1f}" for x, y in places)
    return f"M{'L'.join(steps)}Z"


def log_ticks(low: float, high: float, steps: tuple[float, ...] = (1, 2, 5)) -> list[float]:
    """Return round numbers between two positive ones, at most about eight of them."""
    for chosen in (steps, (1.0, 3.0), (1.0,)):
        found = [
            step * 10.0**power
            for power in range(-12, 16)
            for step in chosen
            if low * 0.999 <= step * 10.0**power <= high * 1.001
        ]
        if len(found) <= MOST_TICKS:
            return found
    return found[:: 1 + len(found) // MOST_TICKS]


def set_log_ticks(axes: Axes, which: str, places: list[float], labels: list[str]) -> None:
    """Put ticks at these places of a logarithmic axis, and nowhere else."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def to_svg(figure: Figure, title: str) -> str:
    """Save a figure as an inline SVG element with a title for those who cannot see it."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</defs>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    for placeholder, meaning in _COLOURS.items():
        text = text.replace(placeholder, meaning)
    text = text.replace("xlink:href", "href")
    text = re.sub(r"-?\d+\.\d{2,}", _shorter, text)
    text = _without_idle_ids(text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    view_box = re.search(r'viewBox="[^"]*"', text)
    opening = f'<svg {view_box.group() if view_box else ""} role="img" aria-label="{title}">'
    return opening + text[text.index(">") + 1 :].rstrip()


def _shorter(match: re.Match[str]) -> str:
    """A coordinate in tenths of a point, finer than any screen."""
    tenths = round(10 * float(match.group()))
    return f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths / 10:.1f}"


def _without_idle_ids(text: str) -> str:
    """Leave out ids that nothing in the figure refers to: several figures share a page."""
    used = set(re.findall(r"(?:#)([\w-]+)", text))
    return re.sub(
        r' id="([\w-]+)"', lambda match: match.group() if match.group(1) in used else "", text
    )
