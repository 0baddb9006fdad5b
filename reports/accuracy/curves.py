"""Learning curves, and error against time: trainings that belong together share a chart."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from bench.results.accuracy import AccuracyRun
from reports import words
from reports.accuracy.charts import MOST_SERIES, Chart, Series
from reports.accuracy.table import Trained

FAMILY_WORDS = 2
"""So many words of an experiment's name say which family it is of: `mnist-deepcnet`."""
DIFFERENCES: tuple[Callable[[Trained], str], ...] = (
    lambda row: row.first.settings.experiment,
    lambda row: row.implementation,
    lambda row: words.count(row.first.settings.epochs, "epoch"),
    lambda row: words.count(row.first.settings.threads, "thread"),
    lambda row: f"version {row.first.settings.version}",
    lambda row: f"{row.first.settings.implementation} {row.first.settings.implementation_version}",
    lambda row: row.first.machine.name,
)
"""What may tell lines of one chart apart, the plainest first."""


def families(rows: Sequence[Trained]) -> list[list[Trained]]:
    """Put rows together whose experiments' names begin alike, no more than a chart can show."""
    return [
        found[start : start + MOST_SERIES]
        for family in _alike(rows, FAMILY_WORDS)
        for found in ([family] if len(family) <= MOST_SERIES else _alike(family, FAMILY_WORDS + 1))
        for start in range(0, len(found), MOST_SERIES)
    ]


def family_name(rows: Sequence[Trained]) -> str:
    """What the experiments' names have in common, and whether they are small versions."""
    names = [row.first.settings.experiment.split("-") for row in rows]
    shared = [
        parts[0] for parts in zip(*names, strict=False) if all(part == parts[0] for part in parts)
    ]
    small = " (small)" if rows[0].first.settings.small else ""
    return "-".join(shared or names[0][:FAMILY_WORDS]) + small


def learning(rows: Sequence[Trained]) -> Chart:
    """Test error by epoch, a line for every seed."""
    best = min(rows, key=lambda row: row.error_percent)
    labels = tell_apart(rows)
    caption = f"Test error after each epoch: {best.error_percent:.2f} % in the end"
    if len(rows) > 1:
        caption += f" is the lowest, by {labels[rows.index(best)]}"
    return Chart(
        heading=family_name(rows),
        caption=caption + ".",
        series=tuple(
            Series(
                label,
                tuple((epoch.number, 100 * epoch.test_error) for epoch in run.epochs),
                number,
            )
            for number, (label, row) in enumerate(zip(labels, rows, strict=True), start=1)
            for run in row.runs
        ),
        y_label="test error",
        x_label="epochs",
        is_straight=True,
    )


def races(rows: Sequence[Trained]) -> list[Chart]:
    """Error against time where several implementations have trained the same experiment."""
    same: dict[tuple[str, ...], list[Trained]] = {}
    for row in rows:
        settings = row.first.settings
        key = (settings.experiment, settings.version, str(settings.epochs), row.first.machine.name)
        same.setdefault(key, []).append(row)
    return [
        _race(alike[:MOST_SERIES])
        for alike in same.values()
        if len({row.implementation for row in alike}) > 1
    ]


def _race(rows: list[Trained]) -> Chart:
    of_processor = all(
        run.settings.device == "cpu" and run.settings.processes == 1
        for row in rows
        for run in row.runs
    )
    clock = _processor_seconds if of_processor else _wall_seconds
    labels = tell_apart(rows)
    ends = [(clock(row.first)[-1], label, row) for label, row in zip(labels, rows, strict=True)]
    ends.sort(key=lambda end: end[0])
    least, quickest, _ = ends[0]
    others = words.listed(
        f"{label} {words.ratio(seconds / least) if least > 0 else 'more than'} that "
        f"({row.error_percent:.2f} %)"
        for seconds, label, row in ends[1:]
    )
    what = "CPU time of training" if of_processor else "training time"
    return Chart(
        heading=rows[0].name,
        caption=f"Test error against {what}: {quickest} takes {words.seconds(least)} for all epochs "
        f"and ends at {ends[0][2].error_percent:.2f} %; {others}.",
        series=tuple(
            Series(
                label,
                tuple(
                    (seconds, 100 * epoch.test_error)
                    for seconds, epoch in zip(clock(run), run.epochs, strict=True)
                ),
                number,
            )
            for number, (label, row) in enumerate(zip(labels, rows, strict=True), start=1)
            for run in row.runs
        ),
        y_label="test error",
        x_label=what,
        x_text=words.plain_seconds,
    )


def tell_apart(rows: Sequence[Trained]) -> list[str]:
    """Name rows by no more than what they differ in."""
    used = [tell for tell in DIFFERENCES if len({tell(row) for row in rows}) > 1]
    if not used:
        used = [DIFFERENCES[1]]
    # What the plainer differences tell already needs no further ones.
    for count in range(1, len(used) + 1):
        labels = [", ".join(tell(row) for tell in used[:count]) for row in rows]
        if len(set(labels)) == len(rows):
            break
    return labels


def _alike(rows: Sequence[Trained], count: int) -> list[list[Trained]]:
    found: dict[tuple[object, ...], list[Trained]] = {}
    for row in rows:
        settings = row.first.settings
        key = (settings.small, *settings.experiment.split("-")[:count])
        found.setdefault(key, []).append(row)
    return list(found.values())


def _processor_seconds(run: AccuracyRun) -> list[float]:
    return list(accumulate(epoch.processor_seconds for epoch in run.epochs))


def _wall_seconds(run: AccuracyRun) -> list[float]:
    return list(accumulate(epoch.train_seconds for epoch in run.epochs))
