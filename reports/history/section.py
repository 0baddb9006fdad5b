"""History as a section of a report: what an archive knows of the cells that the report shows."""

from collections.abc import Sequence

from markupsafe import Markup

from bench.history.archive import Archive
from bench.history.events import Event, breakages, events
from bench.history.series import History, Key, Series, read_cells
from bench.results.schema import Run
from reports import words
from reports.commit_links import NO_LINKS
from reports.history import sentences as told
from reports.history.lines import draw, environment

MOST_EVENTS = 10


def section(runs: Sequence[Run], archive: Archive) -> Markup:
    """Make the section for the cells of these runs, each on the machine that measured it.

    Raises:
        UserError: if the archive is empty, or cannot be read.
    """
    wanted = {
        Key(
            run.header.machine.name,
            unit.workload.suite,
            cell.workload,
            cell.workload_version,
            cell.implementation,
            str(cell.phase),
            cell.dtype,
            cell.device,
        )
        for run in runs
        for unit in run.units
        for cell in unit.cells
    }
    history = read_cells(archive, wanted)
    every = events(history)
    happened = every[:MOST_EVENTS]
    shown = _most_changed(happened)
    # By itself: a cell has several series where runs had several baselines.
    steps = {id(each): own for each, own in zip(history.series, history.steps, strict=True)}
    page = environment().get_template("history_section.html.jinja")
    return Markup(  # noqa: S704  # the template escapes
        page.render(
            history=history,
            headline=told.headline(history),
            extent=_extent(history, runs, len(wanted)),
            events=happened,
            earlier=len(every) - len(happened),
            several=len({run.machine for run in history.runs}) > 1,
            breakages=breakages(history),
            machines=[
                (
                    machine,
                    [draw(each, steps[id(each)]) for each in shown if each.key.machine == machine],
                )
                for machine in dict.fromkeys(each.key.machine for each in shown)
            ],
            finding=_finding(history, len(shown)),
            links=NO_LINKS,
        )
    )


def _most_changed(happened: Sequence[Event]) -> list[Series]:
    """Return the cells that changed most in each event, no more than `told.SHOWN` over all."""
    share = max(1, told.SHOWN // max(1, len(happened)))
    found = [change.series for event in happened for change in event.changes[:share]]
    return list({id(series): series for series in found}.values())


def _extent(history: History, runs: Sequence[Run], cells: int) -> str:
    """From when to when the archive reaches, and what of this page it does not have."""
    if not history.series:
        return (
            "The archive has no run of these cells on this machine, so there is no history to show."
        )
    first, last = history.runs[0], history.runs[-1]
    said = [f"The runs are from {told.day(first)} to {told.day(last)}."]
    known = {(run.machine, run.started) for run in history.runs}
    missing = sum((run.header.machine.name, run.header.started) not in known for run in runs)
    if missing == len(runs):
        said.append("What this page shows is not in the archive.")
    elif missing:
        verb = "is" if missing == 1 else "are"
        said.append(f"{words.count(missing, 'run')} of this page {verb} not in the archive.")
    if new := cells - len({series.key for series in history.series}):
        verb = "is" if new == 1 else "are"
        said.append(f"{words.count(new, 'cell')} of this page {verb} not in it.")
    return " ".join(said)


def _finding(history: History, shown: int) -> str:
    """What the table of cells shows."""
    stepped = sum(map(bool, history.steps))
    which = "all of them" if shown == stepped else "those that each of these changes hit hardest"
    return (
        f"{words.count(stepped, 'cell')} of {len(history.series):,} have a lasting change: here are "
        f"{which}. A step is given with its 99 % interval and the two commits between which it lies."
    )
