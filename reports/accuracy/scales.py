"""Graham's table: error by the scale of what is drawn, and by how training moves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports import words
from reports.accuracy.charts import Chart, Series
from reports.accuracy.curves import family_name
from reports.accuracy.table import Trained, epochs_of, longest


@dataclass(frozen=True)
class Study:
    """One network by scale and motion.

    Attributes:
        motions: names of the columns, those that move less first.
        lines: pixels of a character, and what was trained at that scale, by column.
    """

    chart: Chart
    motions: tuple[str, ...]
    lines: tuple[tuple[int, tuple[Trained | None, ...]], ...]


def studies(rows: Sequence[Trained]) -> list[Study]:
    """Find what was trained at several scales, with several motions."""
    groups: dict[tuple[str, ...], list[Trained]] = {}
    for row in rows:
        settings = row.first.settings
        if _scale(row) is None or not isinstance(row.source("motion"), dict):
            continue
        family = "-".join(settings.experiment.split("-")[:2])
        groups.setdefault((family, str(settings.small), row.implementation), []).append(row)
    return [
        _study(longest(alike, lambda row: (_scale(row), _motion(row))))
        for alike in groups.values()
        if len({_scale(row) for row in alike}) > 1
    ]


def _study(rows: list[Trained]) -> Study:
    motions = list(dict.fromkeys(_motion(row) for row in sorted(rows, key=_extent)))
    scales = sorted({_scale(row) or 0 for row in rows})
    found = {(_scale(row), _motion(row)): row for row in rows}
    lines = tuple(
        (scale, tuple(found.get((scale, motion)) for motion in motions)) for scale in scales
    )
    series = []
    for number, motion in enumerate(motions, start=1):
        own = [(scale, found[scale, motion]) for scale in scales if (scale, motion) in found]
        ours = tuple((float(scale), row.error_percent) for scale, row in own)
        series.append(Series(motion, ours, number))
        published = tuple(
            (float(scale), row.compared[0].error_percent) for scale, row in own if row.compared
        )
        if published:
            origin = next(row.compared[0].origin for _, row in own if row.compared)
            series.append(Series(f"{motion}, {origin}", published, number, is_published=True))
    chart = Chart(
        heading=family_name(rows),
        caption=f"Test error by the pixels along a character's longer side, a line for each "
        f"augmentation, after {epochs_of(rows)}. {_finding(lines)}",
        series=tuple(series),
        y_label="test error",
        x_label="character size in pixels",
        x_ticks=tuple(float(scale) for scale in scales),
    )
    return Study(chart, tuple(motions), lines)


def _finding(lines: Sequence[tuple[int, tuple[Trained | None, ...]]]) -> str:
    """Say whether larger scales and more motion lower the error everywhere."""
    errors = [[None if row is None else row.error_percent for row in line] for _, line in lines]
    columns = [list(column) for column in zip(*errors, strict=True)]
    chains = {"larger characters": columns, "more augmentation": errors}
    said = []
    for what, lists in chains.items():
        steps = [
            after < before
            for chain in lists
            for before, after in pairwise([value for value in chain if value is not None])
        ]
        if steps:
            where = "everywhere" if all(steps) else f"in {sum(steps)} of {len(steps)} steps"
            said.append(f"with {what} {where}")
    return f"The error falls {words.listed(said)}." if said else ""


def _scale(row: Trained) -> int | None:
    scale = row.source("scale")
    return scale if isinstance(scale, int) and scale > 0 else None


def _motion(row: Trained) -> str:
    """What an experiment's name calls its augmentation: the last word."""
    return row.first.settings.experiment.rsplit("-", 1)[-1]


def _extent(row: Trained) -> int:
    """How many kinds of motion there are."""
    motion = row.source("motion")
    return sum(bool(motion.get(kind)) for kind in ("shift", "bending", "stretching"))
