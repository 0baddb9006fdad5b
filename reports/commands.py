"""The command that measures a workload again, as it was measured."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from bench.results.schema import Header, Run, Settings
from reports.speed import Table
from reports.words import label

MACHINE_SEPARATOR = " of machine "
"""What stands between a device and its machine where runs of several were joined."""
LONGEST = 1000
"""Names that are longer than that are no use in a command, and end in an ellipsis."""


@dataclass(frozen=True)
class Command:
    """A command line in parts, so that a page can narrow it down to one cell.

    Attributes:
        start: up to the workload.
        implementations: as `--impl` takes them.
        phases: as `--phase` takes them.
        end: element type, device and how long to measure.
    """

    start: str
    implementations: str
    phases: str
    end: str


def command(
    run: Run, table: Table, arguments: dict[str, str], header: Header | None = None
) -> Command:
    """Return the command for a workload in one setting.

    Args:
        run: whose settings it repeats: those that the workload was measured with.
        table: the workload.
        arguments: by implementation, what `--impl` has to be given.
        header: of the run that measured it, where several were joined.
    """
    settings = _settings(run, table)
    names = dict.fromkeys(row.cell.implementation for row in table.rows)
    phases = dict.fromkeys(str(row.cell.phase) for row in table.rows)
    device = table.setting.device.partition(MACHINE_SEPARATOR)[0]
    return Command(
        f"sparsebench run {label(shlex.quote(_suite_argument(header or run.header, table)), LONGEST)} "
        f"--workload {label(shlex.quote(table.workload.name), LONGEST)}",
        f"--impl {','.join(dict.fromkeys(arguments[name] for name in names))}",
        f"--phase {','.join(phases)}",
        f"--dtype {label(shlex.quote(table.setting.dtype))} --device {label(shlex.quote(device))} "
        f"--threads {settings.threads} --processes {settings.processes} "
        f"--seconds {settings.seconds:g} --precision {settings.precision:g} --seed {settings.seed}",
    )


def _settings(run: Run, table: Table) -> Settings:
    """What a workload was measured with in one setting."""
    place = (table.workload.suite, table.workload.name)
    keys = {row.cell.key for row in table.rows}
    for unit in run.units:
        named = (unit.workload.suite, unit.workload.name)
        if named == place and any(cell.key in keys for cell in unit.cells):
            return run.settings_of(unit)
    return run.header.settings


def _suite_argument(header: Header, table: Table) -> str:
    """What `sparsebench run` has to be given for a workload's suite: its name, or its file.

    The path is as the run was given it; where it was not, the file's name is all that is known.
    """
    name = table.workload.suite
    file = header.suite_files.get(name)
    if file is None:
        return name
    given = [
        path
        for before, word in pairwise(header.command)
        if PurePath(path := word.partition("::")[0]).name == file  # pytest's are FILE::TEST
        and not word.startswith("-")
        and not before.endswith("-impl")  # a plug-in's file may have the same name
    ]
    return given[0] if given else file


def impl_arguments(run: Run, headers: Iterable[Header] = ()) -> dict[str, str]:
    """Return what `--impl` has to be given for each implementation: its name, or a plug-in's file.

    Args:
        run: whose implementations they are.
        headers: of the runs that it was joined from, whose commands name the files.
    """
    names = [record.name for record in run.header.implementations]
    names += [cell.implementation for cell in run.cells]
    found = {name: label(shlex.quote(name), LONGEST) for name in names}
    commands = dict.fromkeys(each.command for each in (run.header, *headers))
    files = [each for words in commands for each in _given(words) if each.endswith(".py")]
    paths = {PurePath(file).name: file for file in files}
    for record in run.header.implementations:
        if record.file in paths:
            found[record.name] = label(shlex.quote(paths[record.file]), LONGEST)
    return found


def _given(command: tuple[str, ...]) -> list[str]:
    """Return the names and files that a run was given, by `sparsebench` or by pytest."""
    for place, word in enumerate(command):
        option, equals, value = word.partition("=")
        if option in {"--impl", "--sparsebench-impl"}:
            return (value if equals else "".join(command[place + 1 : place + 2])).split(",")
    return []
