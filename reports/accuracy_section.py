"""The section about accuracy: a table beside published figures, curves, pictures; data only."""

from collections.abc import Sequence
from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup

from bench.results.accuracy import AccuracyRun
from reports import (
    accuracy,
    accuracy_curves,
    accuracy_inputs,
    accuracy_scales,
    accuracy_sparsity,
    drawing,
    words,
)
from reports.accuracy import Trained, Versions
from reports.accuracy_charts import Chart, draw
from reports.environment import new_environment


def section(runs: Sequence[AccuracyRun], versions: Versions) -> Markup:
    """Make the section; nothing where nothing was trained.

    Args:
        runs: in any order.
        versions: today's.
    """
    if not runs:
        return Markup()
    rows = accuracy.trained(runs)
    drawn = _Drawer()
    page = (
        _environment()
        .get_template("accuracy.html.jinja")
        .render(
            findings=findings(rows),
            machines=list(dict.fromkeys(run.machine.name for run in runs)),
            head=accuracy.head(rows),
            rows=[(accuracy.cells(row, rows, versions), accuracy.commands(row)) for row in rows],
            missing=accuracy.missing(runs, versions),
            sparsities=[
                (drawn(study.chart) if study.has_curve else None, study)
                for study in accuracy_sparsity.studies(rows)
            ],
            scales=[(drawn(study.chart), study) for study in accuracy_scales.studies(rows)],
            races=list(map(drawn, accuracy_curves.races(rows))),
            curves=[
                drawn(accuracy_curves.learning(family)) for family in accuracy_curves.families(rows)
            ],
            samples=accuracy_inputs.shown(rows),
            activity=list(map(drawn, accuracy_inputs.activity(rows))),
        )
    )
    return Markup(page)  # noqa: S704  # the template escapes what it is given


def findings(rows: Sequence[Trained]) -> list[str]:
    """Sentences on what was reached, for the head of the section and for the gallery."""
    compared = [row for row in rows if row.compared]
    found = []
    if compared:
        reached = [
            row
            for row in compared
            if all(row.error_percent <= each.error_percent for each in row.compared)
        ]
        names = words.listed(dict.fromkeys(words.label(row.name) for row in reached))
        rest = len(compared) - len(reached)
        found.append(
            f"At or below every published error: {names or 'nothing'}; above one of them: "
            f"{words.count(rest, 'row')}"
        )
    else:
        found.append("Nothing here has a published error to compare with")
    return found


class _Drawer:
    """Draws charts whose ids do not meet on the page."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, chart: Chart) -> tuple[Chart, Markup]:
        self.count += 1
        return chart, Markup(draw(chart, f"accuracy-{self.count}"))  # noqa: S704  # no run's text


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = new_environment()
    environment.globals |= {
        "marker_path": drawing.marker_path,
        "colour_number": drawing.colour_number,
    }
    return environment
