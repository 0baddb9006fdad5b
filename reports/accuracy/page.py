"""A page of trainings alone, and what the gallery says of them."""

from collections.abc import Sequence
from urllib.parse import quote

from bench.results.accuracy import AccuracyRun
from reports import markers, words
from reports.accuracy import table
from reports.accuracy.section import findings, section
from reports.accuracy.table import Versions
from reports.environment import write_page
from reports.gallery import Picture


def render(runs: Sequence[AccuracyRun], versions: Versions) -> str:
    """Make the page; the same runs give the same bytes."""
    return write_page(
        "accuracy_page.html.jinja",
        markers.REPORT,
        accuracy=section(runs, versions),
        facts=_facts(runs),
        machine=_machine(runs),
    )


def picture(runs: Sequence[AccuracyRun], link: str, title: str) -> Picture:
    """Sum trainings up for the gallery, under a title of their own."""
    found = [("accuracy", sentence) for sentence in findings(table.trained(runs))]
    return Picture(words.label(title), quote(link), _machine(runs), _facts(runs), tuple(found))


def _facts(runs: Sequence[AccuracyRun]) -> str:
    experiments = len({run.settings.experiment for run in runs})
    first, last = (pick(run.started[:10] for run in runs) for pick in (min, max))
    when = first if first == last else f"{first} to {last}"
    return (
        f"{words.count(len(runs), 'training')} of {words.count(experiments, 'experiment')}, {when}"
    )


def _machine(runs: Sequence[AccuracyRun]) -> str:
    return words.listed(dict.fromkeys(run.machine.name for run in runs))
