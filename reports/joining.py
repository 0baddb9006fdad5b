"""Runs to be shown on one page: of one machine or several, of one version or several.

Nothing is compared across machines: what another machine measured gets devices of its own, which are
settings of their own on the page. What could not be shown is said among the doubts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench.results.schema import Header, Machine, Run, Status
from bench.results.store import merge, with_settings
from reports import words
from reports.commands import MACHINE_SEPARATOR

DOUBTED = ("precision", "threads", "seed", "timeout", "phases")
"""Settings of which a difference is told; processes and seconds are told with their numbers."""


def join(runs: Sequence[Run]) -> Run:
    """Join runs; one alone stays as it is."""
    if len(runs) == 1:
        return runs[0]
    by_machine: dict[str, list[Run]] = {}
    for run in runs:
        by_machine.setdefault(run.header.machine.name, []).append(run)
    joined = [_of_one_machine(own) for own in by_machine.values()]
    if len(joined) == 1:
        return joined[0]
    named = [_named(run, number) for number, run in enumerate(joined, start=1)]
    machines = [run.header.machine for run in named]
    doubt = (
        f"runs of {len(joined)} machines stand side by side: each is compared with itself only, and "
        f"settings say which is which"
    )
    machine = Machine(
        "; ".join(f"{number}: {each.name}" for number, each in enumerate(machines, start=1)),
        {topic: fact for each in machines for topic, fact in each.facts.items()},
        tuple(rate for each in machines for rate in each.rates),
        (doubt, *(text for each in machines for text in each.doubts)),
    )
    first = named[0].header
    header = replace(
        first,
        suites=_distinct(suite for run in named for suite in run.header.suites),
        machine=machine,
        implementations=tuple(
            {record.name: record for run in named for record in run.header.implementations}.values()
        ),
        planned=_distinct(name for run in named for name in run.header.planned),
        suite_files={name: file for run in named for name, file in run.header.suite_files.items()},
        suite_commits={name: at for run in named for name, at in run.header.suite_commits.items()},
    )
    units = tuple(with_settings(run, unit, first) for run in named for unit in run.units)
    finished = max(run.finished for run in named) if all(run.finished for run in named) else ""
    return Run(header, units, finished)


def origins(runs: Sequence[Run]) -> Mapping[tuple[str, ...], Header]:
    """The header of the run that measured each cell of the joined run, by suite and the cell's key."""
    machines = _distinct(run.header.machine.name for run in runs)
    found: dict[tuple[str, ...], Header] = {}
    for run in runs:
        number = machines.index(run.header.machine.name) + 1
        named = run if len(machines) == 1 else _named(run, number)
        for unit in named.units:
            found |= {(unit.workload.suite, *cell.key): run.header for cell in unit.cells}
    return found


def _of_one_machine(runs: list[Run]) -> Run:
    """Merge, and say what was measured in several versions or otherwise not alike."""
    run = merge(runs)
    told = _distinct(doubt for each in runs for doubt in each.header.machine.doubts)
    doubts = (*told, *_replaced(runs, run), *_versions(runs), *_circumstances(runs))
    return replace(
        run, header=replace(run.header, machine=replace(run.header.machine, doubts=doubts))
    )


def _replaced(runs: list[Run], merged: Run) -> list[str]:
    """What an earlier run measured of a workload that a later one measured without it."""
    kept = {(unit.workload.suite, *cell.key) for unit in merged.units for cell in unit.cells}
    lost = _distinct(
        f"{words.label(cell.implementation)} {cell.phase}"
        for run in runs
        for unit in run.units
        for cell in unit.cells
        if cell.status is Status.OK and (unit.workload.suite, *cell.key) not in kept
    )
    told = (
        f"where several runs measured a workload, the last run's cells are shown: rounds of two runs "
        f"are not paired. That leaves out cells of {words.listed(lost)}"
    )
    return [told] if lost else []


def _versions(runs: list[Run]) -> list[str]:
    workloads: dict[tuple[str, str], set[str]] = {}
    implementations: dict[str, set[str]] = {}
    commits: dict[str, dict[str, None]] = {}
    for run in runs:
        for unit in run.units:
            place = unit.workload.suite, unit.workload.name
            workloads.setdefault(place, set()).add(unit.workload.version)
        for record in run.header.implementations:
            implementations.setdefault(record.name, set()).add(record.version)
            if record.commit:
                commits.setdefault(record.name, {})[record.commit] = None
    found = []
    changed = [words.label(name) for (_, name), versions in workloads.items() if len(versions) > 1]
    if changed:
        found.append(
            f"workloads that the runs have in several versions, of which the last run's is shown: "
            f"{words.listed(changed)}"
        )
    for name, versions in implementations.items():
        if len(versions) > 1:
            told = words.listed(words.label(version, 30) for version in sorted(versions))
            found.append(f"{words.label(name)} was measured in versions {told}")
    for name, at in commits.items():
        if len(at) > 1:
            told = words.listed(words.label(commit, 30) for commit in at)
            found.append(f"{words.label(name)} was measured at commits {told}")
    return found


def _circumstances(runs: list[Run]) -> list[str]:
    """How runs of one machine were not made alike."""
    commits = _distinct(words.label(run.header.commit or "none", 30) for run in runs)
    settings = [each for run in runs for each in run.settings]
    efforts = _distinct(
        f"{each.processes:,} (of {words.number(each.seconds, 3)} s per phase)" for each in settings
    )
    others = [name for name in DOUBTED if len({getattr(each, name) for each in settings}) > 1]
    found = []
    if len(commits) > 1:
        found.append(f"the runs were made at several commits: {words.listed(commits)}")
    if len(efforts) > 1:
        found.append(f"fresh processes per workload: {words.listed(efforts)}")
    if others:
        found.append(f"the runs differ in {words.listed(others)}: the section on method says how")
    return found


def _named(run: Run, number: int) -> Run:
    """The same run with the machine's number in everything that names a device."""

    def own(device: str) -> str:
        return f"{device}{MACHINE_SEPARATOR}{number}"

    machine = run.header.machine
    named = Machine(
        machine.name,
        {f"machine {number}": machine.name}
        | {f"{number}: {topic}": fact for topic, fact in machine.facts.items()},
        tuple(replace(rate, device=own(rate.device)) for rate in machine.rates),
        tuple(f"machine {number}: {text}" for text in machine.doubts),
    )
    units = tuple(
        replace(unit, cells=tuple(replace(cell, device=own(cell.device)) for cell in unit.cells))
        for unit in run.units
    )
    return replace(run, header=replace(run.header, machine=named), units=units)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
