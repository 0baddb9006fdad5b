"""The page of an archive: a line for every cell, its steps marked, those that changed most first."""

from collections.abc import Sequence

from markupsafe import Markup

from bench.history.events import breakages, events
from bench.history.series import History
from reports import markers
from reports.commit_links import NO_LINKS, Links
from reports.environment import stylesheet
from reports.history import sentences as told
from reports.history.lines import draw, environment, setting
from reports.script import script

CELLS_OF_EVENT = 5


def render(history: History, links: Links = NO_LINKS) -> str:
    """Make the page; the same history gives the same bytes.

    Args:
        history: what is drawn.
        links: where commits can be looked at.
    """
    text, digest = script("history.js")
    drawn = told.ordered(history)
    machines = list(dict.fromkeys(series.key.machine for series, _ in drawn))
    return (
        environment()
        .get_template("history.html.jinja")
        .render(
            marker=Markup(markers.HISTORY),  # noqa: S704
            stylesheet=stylesheet(),
            script=text,
            script_digest=digest,
            history=history,
            headline=told.headline(history),
            events=events(history),
            breakages=breakages(history),
            machines=[
                (machine, [draw(*each) for each in drawn if each[0].key.machine == machine])
                for machine in machines
            ],
            choices={
                "implementation": _distinct([series.key.implementation for series, _ in drawn]),
                "phase": _distinct([series.key.phase for series, _ in drawn]),
                "type": _distinct([setting(series) for series, _ in drawn]),
            },
            links=links,
            plugin_commits=told.plugin_commits(history),
            cells_of_event=CELLS_OF_EVENT,
        )
    )


def _distinct(names: Sequence[str]) -> list[str]:
    return sorted(set(names))
