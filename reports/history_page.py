"""The page of an archive: a line for every cell, its steps marked, those that changed most first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from bench.history.events import breakages, events
from bench.history.series import History, Series
from bench.history.steps import Step, levels
from reports import history as told
from reports import words
from reports.environment import new_environment, stylesheet
from reports.script import script

MARKER = '<meta name="generator" content="sparsebench history">'
"""By this line a file is known to be a page that may be overwritten."""
WIDTH, HEIGHT, MARGIN = 320, 40, 3
MOST_POINTS = 160
"""A line of more runs is drawn through the medians of so many groups of them."""
LEAST_SPAN = 0.1
"""A line's height stands for at least this change, so that noise is not drawn as drama."""
CELLS_OF_EVENT = 5


@dataclass(frozen=True)
class Line:
    """One series, drawn.

    Attributes:
        path: data of the line through its values.
        levels: data of what its steps say.
        marks: place and direction of every step.
    """

    series: Series
    steps: tuple[Step, ...]
    path: str
    levels: str
    marks: tuple[tuple[int, bool], ...]


def render(history: History, commit_url: str | None = None) -> str:
    """Make the page; the same history gives the same bytes.

    Args:
        history: what is drawn.
        commit_url: where a commit can be looked at, with `{commit}` in it.
    """
    text, digest = script("history.js")
    drawn = told.ordered(history)
    machines = list(dict.fromkeys(series.machine for series, _ in drawn))
    return (
        _environment()
        .get_template("history.html.jinja")
        .render(
            marker=Markup(MARKER),  # noqa: S704
            stylesheet=stylesheet(),
            script=text,
            script_digest=digest,
            history=history,
            headline=told.headline(history),
            events=events(history),
            breakages=breakages(history),
            machines=[
                (machine, [_line(*each) for each in drawn if each[0].machine == machine])
                for machine in machines
            ],
            choices={
                "implementation": _distinct([series.implementation for series, _ in drawn]),
                "phase": _distinct([series.phase for series, _ in drawn]),
                "type": _distinct([_setting(series) for series, _ in drawn]),
            },
            commit_url=commit_url,
            cells_of_event=CELLS_OF_EVENT,
            width=WIDTH,
            height=HEIGHT,
            most_points=MOST_POINTS,
            least_span=LEAST_SPAN,
        )
    )


def _line(series: Series, steps: tuple[Step, ...]) -> Line:
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
    flat = [
        f"M{round(columns[start])} {y}H{round(columns[end - 1])}"
        for start, end, level in bounds
        if (y := round(float(_rows(np.array([math.log(level)]), middle, span)[0]))) is not None
    ]
    marks = tuple(
        (round((columns[step.at - 1] + columns[step.at]) / 2), step.is_slower) for step in steps
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


def _distinct(names: Sequence[str]) -> list[str]:
    return sorted(set(names))


def _setting(series: Series) -> str:
    return f"{series.dtype} on {series.device}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = new_environment()
    environment.globals |= {
        "latest": told.latest,
        "step_words": told.step_words,
        "commits": told.commits,
        "commit_name": told.commit_name,
        "commit_link": told.commit_link,
        "summary": told.summary,
        "day": told.day,
        "setting": _setting,
        "long": words.LONGEST_TITLE,
    }
    return environment
