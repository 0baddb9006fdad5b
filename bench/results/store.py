"""Writing and reading run files.

While a run is going on, every finished unit is appended to a journal beside the target (`.partial`,
one JSON document a line, synced to disk). When it ends, the run file is written whole under a
temporary name and linked into place, so that it exists completely or not at all, and never replaces
another. A run file holds data only: reading one runs no code.
"""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bench.errors import DataError, UserError
from bench.files import make_folder, write_once
from bench.results import envelope
from bench.results.envelope import FileKind
from bench.results.schema import FORMAT, SCHEMA, Header, Rate, Run, Unit

RUN_FILE = FileKind("a sparsebench run file", FORMAT, SCHEMA, Run)
TAIL_BYTES = 2**16


class Journal:
    """The journal of a run that is going on: nothing finished is lost when it is killed.

    Raises:
        UserError: if the run file would be a folder, or could not be named in UTF-8, as its command is.
    """

    def __init__(self, target: Path) -> None:
        try:
            str(target).encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{str(target)!a} is not UTF-8: name another file") from error
        if target.is_dir():
            raise UserError(f"{target} is a folder: name a file, such as {target / 'run.json'}")
        self.target = target
        self.path = target.with_name(target.name + ".partial")
        self._is_begun = False

    def check(self) -> None:
        """Find out that the run file cannot be written before anything is measured for it.

        Raises:
            UserError: if the target or a journal exists.
        """
        if self.target.exists():
            raise UserError(f"{self.target} exists; a run file is written once: name another")
        if self.path.exists():
            raise UserError(
                f"{self.path} holds an unfinished run; continue with --resume {self.path}, or remove it"
            )

    def begin(self, header: Header) -> None:
        """Start a new journal.

        Raises:
            UserError: if the target or a journal exists, or the folder cannot be written to.
        """
        self.check()
        first_line = {"format": FORMAT, "schema": SCHEMA, "header": header}
        try:
            make_folder(self.path.parent)
            write_once(msgspec.json.encode(first_line) + b"\n", self.path)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
        self._is_begun = True

    def add(self, unit: Unit) -> None:
        """Append a finished unit and sync it to disk.

        Raises:
            UserError: if it cannot be written, as on a full disk; what is there stays readable.
        """
        try:
            self._append(unit)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def read(self) -> Run:
        """Read an unfinished run; a last line that was cut off is left out.

        Raises:
            DataError: if the journal is missing or not one of ours.
        """
        lines = envelope.read(self.path).split(b"\n")
        complete = [line for line in lines[:-1] if line]
        if not complete:
            raise DataError(f"{self.path} holds no complete line of a run")
        RUN_FILE.check(complete[0], str(self.path))
        try:
            header = msgspec.json.decode(complete[0], type=_FirstLine).header
            units = tuple(msgspec.json.decode(line, type=Unit) for line in complete[1:])
        except envelope.UNDECODABLE as error:
            raise DataError(f"{self.path} is damaged: {error}") from error
        return Run(header, units)

    def finish(self, run: Run) -> Path:
        """Write the run file and remove the journal."""
        write(run, self.target)
        self._remove()
        return self.target

    def drop_if_empty(self) -> None:
        """Remove the journal that this has begun if no unit is finished: nothing is to go on with."""
        if self._is_begun and self.path.exists() and not self.read().units:
            self._remove()

    def completed(self) -> Run | None:
        """Return the run if its file is written; a kill may have left the journal beside it.

        Raises:
            UserError: if the file is not what became of the journal, or cannot be read.
        """
        if not self.target.exists():
            return None
        whole = load(self.target)
        if self.path.exists():
            earlier = self.read()
            names = {unit.workload.name for unit in whole.units}
            own = {unit.workload.name for unit in earlier.units}
            if earlier.header != whole.header or not own <= names:
                raise UserError(
                    f"{self.target} exists and is another run than {self.path} holds: move one of them"
                )
            self._remove()
        return whole

    def _remove(self) -> None:
        """Remove the journal; where that cannot be, its whole run file says enough."""
        with suppress(OSError):
            self.path.unlink()

    def _append(self, document: Any) -> None:  # noqa: ANN401
        with self.path.open("r+b") as stream:
            # A kill may have cut the last line off: what is left of it would spoil the next.
            stream.truncate(_end_of_last_line(stream))
            stream.seek(0, os.SEEK_END)
            stream.write(msgspec.json.encode(document) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def _end_of_last_line(stream: BinaryIO) -> int:
    """Where the last whole line of a file ends, found from its end: journals may be long."""
    start = stream.seek(0, os.SEEK_END)
    while start:
        end, start = start, max(0, start - TAIL_BYTES)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
    return 0


class _FirstLine(msgspec.Struct):
    header: Header


def write(run: Run, target: Path) -> None:
    """Write a run file, atomically and once, in a folder that is made where it is missing.

    Raises:
        UserError: if the target exists or cannot be written.
    """
    envelope.write(msgspec.json.encode(run), target)


def load(path: Path) -> Run:
    """Read a run file, or the journal of an unfinished run.

    Raises:
        DataError: if it is missing, truncated, damaged, of a newer schema, or not ours.
    """
    if path.name.endswith(".partial"):
        return Journal(path.with_name(path.name.removesuffix(".partial"))).read()
    return decode(envelope.read(path), str(path))


def decode(content: bytes, name: str) -> Run:
    """Read a run file that is in memory already.

    Raises:
        DataError: naming it, if it is truncated, damaged, of a newer schema, or not ours.
    """
    return RUN_FILE.decode(content, name)


def merge(runs: list[Run]) -> Run:
    """Join the units of runs of one machine.

    Where several have a workload in the same type on the same device, the cells of the last one stay.
    Of the machine's rates the highest do: they are limits.

    Raises:
        UserError: if the machines differ.
    """
    if not runs:
        raise UserError("nothing to merge: no run was given")
    first = runs[0]
    machines = {run.header.machine.name for run in runs}
    if len(machines) > 1:
        raise UserError(f"runs of different machines are not merged: {'; '.join(sorted(machines))}")
    last = {
        kind: number
        for number, run in enumerate(runs)
        for unit in run.units
        for kind in _kinds(unit)
    }
    units: dict[tuple[Kind, ...], Unit | None] = {}
    for number, run in enumerate(runs):
        for unit in run.units:
            kept = tuple(
                cell
                for cell, kind in zip(unit.cells, _kinds(unit), strict=True)
                if last[kind] == number
            )
            place = tuple(sorted(set(_kinds(unit)))) or ((*_place(unit), "", ""),)
            is_replaced = unit.cells and not kept
            own = with_settings(run, unit, first.header)
            units[place] = None if is_replaced else replace(own, cells=kept)  # where it came first
    implementations = {record.name: record for run in runs for record in run.header.implementations}
    header = replace(
        first.header,
        suites=tuple(dict.fromkeys(suite for run in runs for suite in run.header.suites)),
        machine=replace(first.header.machine, rates=_highest(runs)),
        implementations=tuple(implementations.values()),
        planned=tuple(dict.fromkeys(name for run in runs for name in run.header.planned)),
        suite_files={name: file for run in runs for name, file in run.header.suite_files.items()},
        suite_commits={name: at for run in runs for name, at in run.header.suite_commits.items()},
        pair=first.header.pair if len(runs) == 1 else "",
    )
    finished = max(run.finished for run in runs) if all(run.finished for run in runs) else ""
    return Run(header, tuple(filter(None, units.values())), finished=finished)


def _highest(runs: list[Run]) -> tuple[Rate, ...]:
    found: dict[tuple[str, str], Rate] = {}
    for rate in (rate for run in runs for rate in run.header.machine.rates):
        other = found.get((rate.device, rate.dtype), rate)
        found[rate.device, rate.dtype] = replace(
            rate,
            multiply_adds_per_second=max(
                rate.multiply_adds_per_second, other.multiply_adds_per_second
            ),
            bytes_per_second=max(rate.bytes_per_second, other.bytes_per_second),
        )
    return tuple(found.values())


def with_settings(run: Run, unit: Unit, header: Header) -> Unit:
    """A unit of a run as it is to stand below another header: it keeps the settings it had."""
    own = run.settings_of(unit)
    return replace(unit, settings=None if own == header.settings else own)


Kind = tuple[str, str, str, str]
"""Suite, workload, element type and device."""


def _place(unit: Unit) -> tuple[str, str]:
    return unit.workload.suite, unit.workload.name


def _kinds(unit: Unit) -> list[Kind]:
    """Of each cell."""
    return [(*_place(unit), cell.dtype, cell.device) for cell in unit.cells]
