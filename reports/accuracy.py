"""What was trained, beside what others have published: a Markdown table, a row for each setting."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from bench.results.accuracy import AccuracyRun, Published

FEWEST_SEEDS = 3
"""From which on a spread is shown."""
HEAD = (
    "experiment",
    "implementation",
    "test error",
    "seeds",
    "published",
    "difference",
    "epochs",
    "training",
    "of a processor",
    "to the target",
)
NOTHING = "-"


def table(
    runs: Sequence[AccuracyRun], experiments: Mapping[str, tuple[Published, ...]]
) -> Iterable[str]:
    """Make the lines of a table, the command of each row below it, and what was not trained.

    Runs that differ in their seed only share a row. A small version is compared with nothing: it
    learns from fewer samples, and often fewer classes.

    Args:
        runs: in any order.
        experiments: what others have published, by the name of every experiment there is.
    """
    rows: dict[tuple[str, ...], list[AccuracyRun]] = {}
    for run in sorted(runs, key=lambda run: (run.settings.small, _key(run), run.settings.seed)):
        rows.setdefault(_key(run), []).append(run)
    yield _line(HEAD)
    yield "| --- | --- " + "| ---: " * (len(HEAD) - 2) + "|"
    for alike in rows.values():
        yield _line(_row(alike))
    yield ""
    yield "Commands, in the order of the rows:"
    yield ""
    yield "```sh"
    for alike in rows.values():
        yield from dict.fromkeys(" ".join(run.command) for run in alike)
    yield "```"
    missing = _missing(runs, experiments)
    if missing:
        yield ""
        yield f"Not trained in full: {', '.join(missing)}."


def _key(run: AccuracyRun) -> tuple[str, ...]:
    settings = run.settings
    return (
        settings.experiment,
        settings.version,
        settings.implementation,
        settings.implementation_version,
        str(settings.background),
        settings.dtype,
        settings.precision or "",
        settings.device,
        str(settings.epochs),
        str(settings.processes),
        str(settings.threads),
        run.machine.name,
    )


def _row(alike: Sequence[AccuracyRun]) -> Sequence[str]:
    first = alike[0]
    settings = first.settings
    errors = [run.error_percent for run in alike]
    mean = statistics.fmean(errors)
    shown = f"{mean:.2f} %"
    if len(errors) >= FEWEST_SEEDS:
        shown += f" ± {statistics.stdev(errors):.2f}"
    compared = () if settings.small else first.published
    extras = "".join(
        f", {word}"
        for word, is_so in (
            (settings.background.replace("_", " "), settings.background != "zero"),
            (settings.dtype, settings.dtype != "float32"),
            (f"{settings.precision} mixed in", settings.precision is not None),
            (settings.device, settings.device != "cpu"),
            (f"{settings.processes} processes", settings.processes > 1),
        )
        if is_so
    )
    return (
        settings.experiment + (" (small)" if settings.small else ""),
        settings.implementation + extras,
        shown,
        str(len(errors)),
        "<br>".join(f"{each.error_percent:g} % ({each.origin})" for each in compared) or NOTHING,
        "<br>".join(f"{mean - each.error_percent:+.2f}" for each in compared) or NOTHING,
        _epochs(first),
        _seconds([run.train_seconds for run in alike]),
        _seconds([sum(epoch.processor_seconds for epoch in run.epochs) for run in alike]),
        _to_target(alike),
    )


def _epochs(run: AccuracyRun) -> str:
    """How many there were, and of how many where the user chose another number."""
    planned = run.definition["schedule"]["epochs"]
    done = run.settings.epochs
    return str(done) if done == planned else f"{done} instead of {planned}"


def _to_target(alike: Sequence[AccuracyRun]) -> str:
    """Mean time until the target error was reached, if every seed reached it."""
    target = alike[0].target_percent
    if target is None:
        return NOTHING
    times = [run.seconds_to(target) for run in alike]
    reached = [time for time in times if time is not None]
    if len(reached) < len(times):
        return f"{target:g} % not reached"
    return f"{target:g} % in {_seconds(reached)}"


def _missing(
    runs: Sequence[AccuracyRun], experiments: Mapping[str, tuple[Published, ...]]
) -> list[str]:
    trained = {run.settings.experiment for run in runs if not run.settings.small}
    return [name for name in experiments if name not in trained]


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):,.0f} s"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
