"""The section about accuracy: a table beside published figures, curves, pictures; data only."""

from collections.abc import Sequence
from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup

from bench.results.accuracy import AccuracyRun
from reports import drawing, words
from reports.accuracy import curves, inputs, scales, sparsity, table
from reports.accuracy.charts import Chart, draw
from reports.accuracy.table import Trained, Versions
from reports.environment import new_environment


def section(runs: Sequence[AccuracyRun], versions: Versions) -> Markup:
    """Make the section; nothing where nothing was trained.

    Args:
        runs: in any order.
        versions: today's.
    """
    if not runs:
        return Markup()
    rows = table.trained(runs)
    drawn = _Drawer()
    page = (
        _environment()
        .get_template("accuracy.html.jinja")
        .render(
            findings=findings(rows),
            machines=list(dict.fromkeys(run.machine.name for run in runs)),
            head=table.head(rows),
            rows=[(table.cells(row, rows, versions), table.commands(row)) for row in rows],
            missing=table.missing(runs, versions),
            sparsities=[
                (drawn(study.chart) if study.has_curve else None, study)
                for study in sparsity.studies(rows)
            ],
            scales=[(drawn(study.chart), study) for study in scales.studies(rows)],
            races=list(map(drawn, curves.races(rows))),
            curves=[drawn(curves.learning(family)) for family in curves.families(rows)],
            samples=inputs.shown(rows),
            activity=list(map(drawn, inputs.activity(rows))),
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
