"""What an archive of runs says, in words: series, steps, and what changed lately."""

from collections.abc import Sequence

from bench.history.events import Breakage, Commits, Event, commits_between, events
from bench.history.series import History, RunPoint, Series
from bench.history.steps import FEWEST_RUNS, Step
from reports import words
from reports.commit_links import Links
from reports.exports import escaped, plain

SHOWN = 20
"""So many series, and so many cells of an event, are listed where not all are asked for."""


def headline(history: History) -> str:
    """One sentence: how much there is, and what was found in it."""
    found = events(history)
    machines = len({series.key.machine for series in history.series})
    extent = (
        f"{words.count(len(history.series), 'series')} over {words.count(len(history.runs), 'run')} of "
        f"{words.count(machines, 'machine')}"
    )
    if all(len(series.points) < FEWEST_RUNS for series in history.series):
        return f"{extent}: too few to find a step; {FEWEST_RUNS} runs per machine are needed."
    slower = sum(len(event.own) for event in found if event.is_slower)
    faster = sum(len(event.own) for event in found if not event.is_slower)
    if not found:
        return f"{extent}: no lasting change."
    return (
        f"{extent}: {words.count(slower, 'lasting slowdown')}, {words.count(faster, 'speed-up')}."
    )


def ordered(history: History) -> list[tuple[Series, tuple[Step, ...]]]:
    """Every series with its steps, those with the largest steps first."""
    both = list(zip(history.series, history.steps, strict=True))
    return sorted(both, key=lambda each: -max(map(_extent, each[1]), default=0.0))


def rows(history: History) -> list[dict[str, str]]:
    """One row for each series."""
    return [
        {
            "cell": words.label(series.title, words.LONGEST_TITLE),
            "runs": str(len(series.points)),
            "latest": latest(series),
            "steps": "; ".join(
                f"{step_words(step)}, {commits(commits_between(history, series, step))}"
                for step in steps
            )
            or "none",
        }
        for series, steps in ordered(history)
    ]


def latest(series: Series) -> str:
    """The newest value of a series, in its own unit."""
    if not series.points:
        return str(series.statuses[-1])
    value = series.values[-1]
    if series.is_relative:
        return f"{words.ratio(value)} of {words.label(series.baseline or '')}"
    return words.seconds(value)


def step_words(step: Step) -> str:
    """A step's direction and size, with its interval."""
    low, high = sorted((_percent(step, step.size.low), _percent(step, step.size.high)))
    direction = "▲ slower by" if step.is_slower else "▼ faster by"
    if step.of_baseline:
        direction = f"the baseline changed: ratio {'up' if step.is_slower else 'down'} by"
    return (
        f"{direction} {words.percent(_percent(step, step.size.estimate))} "
        f"({words.number(100 * low, 2)}{words.DASH}{words.percent(high)})"
    )


def commits(between: Commits) -> str:
    """The range of commits that an event lies in, its first excluded, and whose they are."""
    after = words.commit(between.after)
    if is_same_commit(between):
        return f"{after}{whose(between)} before and after"
    return f"{words.commit(between.before)}..{after}{whose(between)}"


def is_same_commit(between: Commits) -> bool:
    """Whether both runs are told with one commit; a dirty one may stand for several states."""
    return words.commit(between.before) == words.commit(between.after)


def whose(between: Commits) -> str:
    """Whose repository commits are of, where it is not sparsebench's."""
    return f" of {words.listed(map(words.label, between.of))}" if between.of else ""


def plugin_commits(history: History) -> dict[str, list[Commits]]:
    """By the name of a run, at which commits of their own repositories implementations were."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for series in history.series:
        for place, commit in zip(series.runs, series.commits, strict=True):
            if commit:
                own = found.setdefault(history.runs[place].name, {})
                own.setdefault(commit, {})[series.key.implementation] = None
    return {
        run: [Commits(commit, commit, tuple(sorted(names))) for commit, names in own.items()]
        for run, own in found.items()
    }


def summary(event: Event) -> str:
    """One line: when, where, how many cells, how much."""
    kind = "slower" if event.is_slower else "faster"
    since = f"since {day(event.after)}, {commits(event.commits)}"
    told = []
    if moved := event.of_baseline:
        way = "fell" if event.is_slower else "rose"
        most = f"up to {words.percent(_extent(moved[0].step))}"
        told = [
            f"{_baselines([event])} became {kind} {since}",
            f"the ratios of {words.count(len(moved), 'cell')} to it {way}, {most}",
        ]
    if event.own:
        own = f"{words.count(len(event.own), 'cell')} {kind}"
        most = f"up to {words.percent(_extent(event.own[0].step))}"
        told.append(f"{own}, {most}" if told else f"{own} {since}, {most}")
    return "; ".join([*told, *(words.label(each, words.LONGEST_TITLE) for each in event.also)])


def day(run: RunPoint) -> str:
    """When a run began, to the minute."""
    return words.label(run.started[:16].replace("T", " "))


def alerts_text(
    history: History, found: Sequence[Event], broken: Sequence[Breakage], links: Links
) -> str:
    """What changed lately, for a terminal."""
    del links  # a terminal has none
    lines = [verdict(history, found, broken)]
    lines += [
        f"{each.status} since {day(each.since)}, {commits(each.commits)}: "
        f"{words.label(each.series.title, 200)}"
        for each in broken
    ]
    for event in found:
        lines += [summary(event), f"  {words.label(event.after.machine, words.LONGEST_TITLE)}"]
        lines += [
            f"  {words.label(change.series.title, 200)}: {step_words(change.step)}"
            for change in event.changes[:SHOWN]
        ]
        if len(event.changes) > SHOWN:
            lines.append(f"  {len(event.changes) - SHOWN} more")
    return "\n".join(lines) + "\n"


def alerts_markdown(
    history: History, found: Sequence[Event], broken: Sequence[Breakage], links: Links
) -> str:
    """The same for an issue or a comment, cells folded."""
    lines = [f"**{plain(verdict(history, found, broken))}**", ""]
    lines += [
        f"- {plain(each.status)} since {plain(day(each.since))}, {plain(commits(each.commits))}: "
        f"{plain(words.label(each.series.title, 200))}"
        for each in broken
    ]
    for event in found:
        after, of = event.commits.after, event.commits.of
        link = links.to(after, of)
        if link:
            link = f" ([{plain(words.commit(after))}]({link}))"
        lines += [
            "",
            f"<details><summary>{escaped(summary(event))}</summary>",
            "",
            f"{plain(words.label(event.after.machine, words.LONGEST_TITLE))}{link}",
            "",
            "| cell | change |",
            "| --- | --- |",
            *(
                f"| {plain(words.label(change.series.title, 200))} | {plain(step_words(change.step))} |"
                for change in event.changes
            ),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def verdict(history: History, found: Sequence[Event], broken: Sequence[Breakage]) -> str:
    """One sentence: what there is to be done."""
    if broken:
        their = "its time" if len(broken) == 1 else "their times"
        return f"{words.count(len(broken), 'cell')} lost {their}: fix these first."
    amount = sum(len(event.own) for event in found if event.is_slower)
    if amount:
        return f"{words.count(amount, 'cell')} became slower recently: investigate."
    if all(len(series.points) < FEWEST_RUNS for series in history.series):
        return f"Too few runs to say: {FEWEST_RUNS} per machine are needed."
    if slower := [event for event in found if event.is_slower]:  # by the baseline's steps alone
        return f"Nothing but {_baselines(slower)} became slower recently."
    return "Nothing became slower recently."


def _baselines(found: Sequence[Event]) -> str:
    """The baselines whose steps are told by ratios to them."""
    names = {each.series.baseline or "" for event in found for each in event.of_baseline}
    return words.listed(map(words.label, sorted(names)))


def _extent(step: Step) -> float:
    return abs(_percent(step, step.size.estimate))


def _percent(step: Step, ratio: float) -> float:
    """By how much a ratio of times is more, or less, as the step's direction calls it."""
    return ratio - 1 if step.is_slower else 1 - ratio
