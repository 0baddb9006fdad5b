"""What a network sees: training samples as pictures, and the active sites after each layer."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from bench.results.accuracy import AccuracyRun
from reports import words
from reports.accuracy.charts import Chart, Series
from reports.accuracy.curves import families, family_name
from reports.accuracy.table import Trained, part

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_PNG_BYTES = 100_000


@dataclass(frozen=True)
class Shown:
    """Samples of one experiment.

    Attributes:
        heading: the experiment's name.
        caption: which samples, and how large they are.
        pictures: a description and the address of each.
    """

    heading: str
    caption: str
    pictures: tuple[tuple[str, str], ...]


def shown(rows: Sequence[Trained]) -> list[Shown]:
    """Pictures of every kind of samples, once."""
    found: dict[str, Shown] = {}
    for row in rows:
        pictures = _pictures(row.first)
        if pictures:
            labels = words.listed(words.plain(each.label) for each in row.first.pictures)
            size = " x ".join(map(str, row.first.pictures[0].grid_size))
            caption = f"Classes {labels}, on a grid of {size}."
            found.setdefault(
                str(part(row.first, "source")), Shown(row.name, caption, tuple(pictures))
            )
    return list(found.values())


def activity(rows: Sequence[Trained]) -> list[Chart]:
    """Share of active sites by layer, a line for every grid and network."""
    charts = []
    for family in families(rows):
        distinct: dict[str, Trained] = {}
        for row in family:
            if len(row.first.active_sites) > 1:
                distinct.setdefault(str(row.first.active_sites), row)
        if distinct:
            charts.append(_activity(list(distinct.values())))
    return charts


def _activity(rows: list[Trained]) -> Chart:
    series = tuple(
        Series(
            row.name,
            tuple(
                (float(number), 100 * each.active / max(each.sites, 1))
                for number, each in enumerate(row.first.active_sites)
            ),
            number,
        )
        for number, row in enumerate(rows, start=1)
    )
    begin = [each.points[0][1] for each in series]
    half = [
        next((place for place, percent in each.points if percent >= 50), None) for each in series
    ]
    return Chart(
        heading=family_name(rows),
        caption=f"Share of the grid's sites that are active for the first test sample, from the input, "
        f"layer 0, to the last layer: {_range(begin)} at first; {_half(half)}.",
        series=series,
        y_label="active sites",
        x_label="layer",
        is_straight=True,
    )


def _range(values: Sequence[float]) -> str:
    low, high = (f"{words.number(value, 2)} %" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _half(places: Sequence[float | None]) -> str:
    known = [place for place in places if place is not None]
    if not known:
        return "half is never reached"
    first, last = (words.plain(place) for place in (min(known), max(known)))
    return f"half is first reached at layer {first if first == last else f'{first} to {last}'}"


def _pictures(run: AccuracyRun) -> list[tuple[str, str]]:
    """Addresses that hold the pictures; what is no PNG of a sane size is left out."""
    return [
        (f"class {each.label}", f"data:image/png;base64,{base64.b64encode(each.png).decode()}")
        for each in run.pictures
        if each.png.startswith(PNG) and len(each.png) <= LARGEST_PNG_BYTES
    ]
