"""A page that leads to the pages of many runs, by machine, with the verdict of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from bench.baseline import BASELINE
from bench.results.schema import Run
from reports import break_even, markers, verdicts, words
from reports.environment import write_page
from reports.speed import compare


@dataclass(frozen=True)
class Picture:
    """One run in the gallery.

    Attributes:
        link: where its page is, relative to the gallery.
        findings: phase and first sentence of each verdict.
    """

    title: str
    link: str
    machine: str
    facts: str
    findings: tuple[tuple[str, str], ...]


def picture(run: Run, link: str, baseline: str = BASELINE) -> Picture:
    """Sum a run up for the gallery."""
    comparison = compare(run, baseline)
    curves = break_even.groups(comparison, comparison.headline)
    found = verdicts.findings(comparison, curves, [])
    facts = (
        f"{words.count(len(run.workloads), 'workload')}, "
        f"{words.count(len(run.cells), 'cell')}, started {run.header.started[:10]}, "
        f"commit {run.header.commit or 'unknown'}"
    )
    return Picture(
        words.listed(words.label(suite) for suite in run.header.suites),
        quote(link),
        run.header.machine.name,
        facts,
        tuple((finding.about, finding.sentences[0]) for finding in found),
    )


def render(pictures: Sequence[Picture]) -> str:
    """Make the page; the same runs give the same bytes."""
    machines: dict[str, list[Picture]] = {}
    for each in pictures:
        machines.setdefault(each.machine, []).append(each)
    return write_page("gallery.html.jinja", markers.GALLERY, machines=machines)
