"""The values of a series as a small line, and what the templates of history call by name."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Environment

from bench.history.events import commits_between
from bench.history.series import Series
from bench.history.steps import Step, levels
from reports import words
from reports.environment import new_environment
from reports.history import sentences as told
from reports.speed import Setting

WIDTH, HEIGHT, MARGIN = 320, 40, 3
MOST_POINTS = 160
"""A line of more runs is drawn through the medians of so many groups of them."""
LEAST_SPAN = 0.1
"""A line's height stands for at least this change, so that noise is not drawn as drama."""


@dataclass(frozen=True)
class Line:
    """One series, drawn.

    Attributes:
        path: data of the line through its values.
        levels: data of what its steps say.
        marks: place and kind of every step.
    """

    series: Series
    steps: tuple[Step, ...]
    path: str
    levels: str
    marks: tuple[tuple[int, str], ...]


def draw(series: Series, steps: tuple[Step, ...]) -> Line:
    """Draw a series into a box of WIDTH by HEIGHT, on a logarithmic axis of its own."""
    if not series.points:
        return Line(series, steps, "", "", ())
    values = np.log(series.values)
    low, high = np.percentile(values, (1, 99))
    middle, span = (low + high) / 2, max(high - low, math.log1p(LEAST_SPAN))
    columns = _columns(len(values))
    rows = _rows(values, middle, span)
    places = zip(_grouped(columns).tolist(), _grouped(rows).tolist(), strict=True)
    bounds = levels(series.values, steps) if steps else []
    heights = _rows(np.log([level for _, _, level in bounds]), middle, span).round().tolist()
    flat = [
        f"M{round(columns[start])} {y:.0f}H{round(columns[end - 1])}"
        for (start, end, _), y in zip(bounds, heights, strict=True)
    ]
    marks = tuple(
        (round((columns[step.at - 1] + columns[step.at]) / 2), step.kind) for step in steps
    )
    return Line(series, steps, f"M{'L'.join(f'{x} {y}' for x, y in places)}", "".join(flat), marks)


def _grouped(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[Any, Any]:
    """Medians of groups of neighbours, rounded, no more than `MOST_POINTS` of them."""
    size = -(-len(values) // MOST_POINTS)
    missing = -len(values) % size
    padded = np.concatenate([values, np.repeat(values[-1:], missing)])
    return np.asarray(np.median(padded.reshape(-1, size), axis=1).round(), dtype=int)


def _columns(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.linspace(MARGIN, WIDTH - MARGIN, count) if count > 1 else np.array([WIDTH / 2])


def _rows(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], middle: float, span: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Heights of logarithms; what lies beyond the span is drawn at its edge."""
    share = np.clip((values - middle) / span + 0.5, 0, 1)
    return np.asarray(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN))


def setting(series: Series) -> str:
    """Type and device, as the report calls them."""
    return Setting(series.key.device, series.key.dtype).title


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment of history's templates."""
    made = new_environment()
    made.globals |= {
        "latest": told.latest,
        "step_words": told.step_words,
        "is_same_commit": told.is_same_commit,
        "commit_name": words.commit,
        "commits_between": commits_between,
        "whose": told.whose,
        "summary": told.summary,
        "day": told.day,
        "setting": setting,
        "long": words.LONGEST_TITLE,
        "width": WIDTH,
        "height": HEIGHT,
        "most_points": MOST_POINTS,
        "least_span": LEAST_SPAN,
    }
    return made
