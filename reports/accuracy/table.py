"""What was trained, beside what others have published: rows of a table, and the table as Markdown."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.results.accuracy import AccuracyRun, Published
from reports import words

Versions = Mapping[str, tuple[str, ...]]
"""Of every experiment there is, by name: the full version's hash and the small one's."""

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
    "CPU time",
    "time to target",
)
ENERGY = "energy"
"""Head of one more column, where any run has joules."""
EARLIER = "of an earlier version"
"""What a row was trained by is not what its experiment's name stands for today."""
NOTHING = "-"
NAMED = 4
"""Experiments that are named of those that were not trained; the report's page names all."""


@dataclass(frozen=True)
class Trained:
    """Runs that differ in their seed only: a row of the table, a line of a figure."""

    runs: tuple[AccuracyRun, ...]

    @property
    def first(self) -> AccuracyRun:
        """The run with the smallest seed."""
        return self.runs[0]

    @property
    def name(self) -> str:
        """The experiment's name, and whether this is its small version."""
        settings = self.first.settings
        return settings.experiment + (" (small)" if settings.small else "")

    @property
    def implementation(self) -> str:
        """The implementation's name, and what is unusual about how it was used."""
        settings = self.first.settings
        unusual = (
            (settings.background.replace("_", " "), settings.background != "zero"),
            (settings.dtype, settings.dtype != "float32"),
            (f"mixed {settings.precision}", settings.precision is not None),
            (settings.device, settings.device != "cpu"),
            (f"{settings.processes} processes", settings.processes > 1),
        )
        return ", ".join([settings.implementation, *(word for word, is_so in unusual if is_so)])

    @property
    def errors(self) -> list[float]:
        """Test error in percent after the last epoch, of each run."""
        return [run.error_percent for run in self.runs]

    @property
    def error_percent(self) -> float:
        """Mean over the runs."""
        return statistics.fmean(self.errors)

    @property
    def compared(self) -> tuple[Published, ...]:
        """What to compare with."""
        return compared_with(self.first)

    def source(self, *path: str) -> Any:  # noqa: ANN401  # plain data, of whatever shape
        """A part of the definition of the samples; None where there is none."""
        return part(self.first, "source", *path)


def compared_with(run: AccuracyRun) -> tuple[Published, ...]:
    """What to compare with; nothing for a small version, which learns from fewer samples."""
    return () if run.settings.small else run.published


def part(run: AccuracyRun, *path: str) -> Any:  # noqa: ANN401  # plain data, of whatever shape
    """A part of an experiment's definition; None where there is none."""
    found: Any = run.definition
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def trained(runs: Iterable[AccuracyRun]) -> list[Trained]:
    """Put runs together that differ in their seed only: full versions first, then by name.

    Of several with one seed the last stays: they tell nothing of what other seeds would give.
    """
    rows: dict[tuple[str, ...], dict[int, AccuracyRun]] = {}
    for run in sorted(runs, key=_order):
        rows.setdefault(_key(run), {})[run.settings.seed] = run
    return [Trained(tuple(by_seed.values())) for by_seed in rows.values()]


def _order(run: AccuracyRun) -> tuple[object, ...]:
    return run.settings.small, _key(run), run.settings.seed, run.finished


def longest(rows: Iterable[Trained], place: Callable[[Trained], object]) -> list[Trained]:
    """Of the rows for the same place in a figure, keep the one that was trained for most epochs."""
    found: dict[object, Trained] = {}
    for row in rows:
        known = found.setdefault(place(row), row)
        if row.first.settings.epochs > known.first.settings.epochs:
            found[place(row)] = row
    return list(found.values())


def epochs_of(rows: Iterable[Trained]) -> str:
    """For how many epochs rows were trained, in words."""
    counts = {row.first.settings.epochs for row in rows}
    fewest, most = min(counts), words.count(max(counts), "epoch")
    return most if len(counts) == 1 else f"{fewest} to {most}"


def head(rows: Iterable[Trained]) -> tuple[str, ...]:
    """Names of the columns."""
    return (*HEAD, ENERGY) if _has_energy(rows) else HEAD


def cells(row: Trained, rows: Iterable[Trained], versions: Versions) -> tuple[tuple[str, ...], ...]:
    """A row's cells, in the order of `head(rows)`; each may have several lines."""
    run, mean = row.first, row.error_percent
    shown = f"{mean:.2f} %"
    if len(row.runs) >= FEWEST_SEEDS:
        shown += f" ± {statistics.stdev(row.errors):.2f}"
    processor = [sum(epoch.processor_seconds for epoch in run.epochs) for run in row.runs]
    found = (
        (row.name, *_marks(run, versions)),
        (row.implementation,),
        (shown,),
        (str(len(row.runs)),),
        tuple(f"{each.error_percent:g} % ({each.origin})" for each in row.compared) or (NOTHING,),
        tuple(f"{mean - each.error_percent:+.2f}" for each in row.compared) or (NOTHING,),
        (_epochs(run),),
        (_seconds([run.train_seconds for run in row.runs]),),
        (_seconds(processor),),
        (_to_target(row.runs),),
    )
    return (*found, (_energy(row.runs),)) if _has_energy(rows) else found


def commands(row: Trained) -> list[str]:
    """The commands that made a row."""
    return list(dict.fromkeys(" ".join(run.command) for run in row.runs))


def missing(runs: Iterable[AccuracyRun], versions: Versions) -> list[str]:
    """Names of the experiments whose full version of today was not trained."""
    done = {(run.settings.experiment, run.settings.version) for run in runs}
    return [name for name, (full, *_) in versions.items() if (name, full) not in done]


def table(runs: Sequence[AccuracyRun], versions: Versions) -> Iterable[str]:
    """Make the lines of a table, the command of each row below it, and what was not trained.

    Args:
        runs: in any order.
        versions: today's.
    """
    rows = trained(runs)
    yield _line(head(rows))
    yield "| --- | --- " + "| ---: " * (len(head(rows)) - 2) + "|"
    for row in rows:
        yield _line("<br>".join(lines) for lines in cells(row, rows, versions))
    yield ""
    yield "Commands, in the order of the rows:"
    yield ""
    yield "```sh"
    for row in rows:
        yield from commands(row)
    yield "```"
    left = missing(runs, versions)
    if left:
        yield ""
        named = words.listed(left, NAMED + 1)
        yield f"Not trained in full: {words.count(len(left), 'experiment')} ({named})."


def _marks(run: AccuracyRun, versions: Versions) -> Iterable[str]:
    """What makes a row another training than its experiment's name stands for."""
    if _is_earlier(run, versions):
        yield EARLIER
    if run.left_out:
        yield f"without {words.count(len(run.left_out), 'broken sample')}"


def _is_earlier(run: AccuracyRun, versions: Versions) -> bool:
    known = versions.get(run.settings.experiment)
    return known is not None and run.settings.version not in known


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
        *run.left_out,
    )


def _epochs(run: AccuracyRun) -> str:
    """How many there were, and of how many where the user chose another number."""
    planned = part(run, "schedule", "epochs")
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


def _has_energy(rows: Iterable[Trained]) -> bool:
    return any(run.joules is not None for row in rows for run in row.runs)


def _energy(alike: Sequence[AccuracyRun]) -> str:
    known = [run.joules for run in alike if run.joules is not None]
    return f"{statistics.fmean(known):,.0f} J" if known else NOTHING


def _seconds(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):,.0f} s"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
