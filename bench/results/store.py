"""Writing and reading run files.

While a run is going on, every finished unit is appended to a journal beside the target (`.partial`,
one JSON document a line, synced to disk). When it ends, the run file is written whole under a
temporary name and linked into place, so that it exists completely or not at all, and never replaces
another. A run file holds data only: reading one runs no code.
"""

import errno
import os
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bench.errors import DataError, ForeignFileError, UserError
from bench.results.schema import FORMAT, SCHEMA, Header, Run, Unit

LARGEST_FILE_BYTES = 2**30
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, no UTF-8, or nested without end."""
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What linking fails with on file systems that have no hard links, as on many sticks and shares."""
TAIL_BYTES = 2**16


class _Envelope(msgspec.Struct):
    """The two fields by which a file says what it is, in any version."""

    format: str = ""
    schema: int = 0


class Journal:
    """The journal of a run that is going on: nothing finished is lost when it is killed.

    Raises:
        UserError: if the run file would be a folder.
    """

    def __init__(self, target: Path) -> None:
        if target.is_dir():
            raise UserError(f"{target} is a folder: name a file, such as {target / 'run.json'}")
        self.target = target
        self.path = target.with_name(target.name + ".partial")

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
            _make_folder(self.path.parent)
            write_once(msgspec.json.encode(first_line) + b"\n", self.path)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

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
        lines = _read(self.path).split(b"\n")
        complete = [line for line in lines[:-1] if line]
        if not complete:
            raise DataError(f"{self.path} holds no complete line of a run")
        _check_envelope(self.path, complete[0])
        try:
            header = msgspec.json.decode(complete[0], type=_FirstLine).header
            units = tuple(msgspec.json.decode(line, type=Unit) for line in complete[1:])
        except UNDECODABLE as error:
            raise DataError(f"{self.path} is damaged: {error}") from error
        return Run(header, units)

    def finish(self, run: Run) -> Path:
        """Write the run file and remove the journal."""
        write(run, self.target)
        self._remove()
        return self.target

    def drop_if_empty(self) -> None:
        """Remove the journal if no unit is finished: there is nothing to go on with."""
        if self.path.exists() and not self.read().units:
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
    """Write a run file, atomically and once.

    Raises:
        UserError: if the target exists or cannot be written.
    """
    try:
        write_once(msgspec.json.encode(run), target)
    except FileExistsError as error:
        raise UserError(f"{target} exists; a run file is written once: name another") from error
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from error


def write_once(content: bytes, target: Path) -> None:
    """Write a new file, which is there completely or not at all, even after a power loss.

    Raises:
        FileExistsError: if the target exists; it stays as it is.
    """
    # No process number: a container's are the same every time, and a kill may have left one behind.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _link(temporary, target)
    finally:
        with suppress(OSError):  # of a disk that failed, say; what came first is what to tell
            temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _link(temporary: Path, target: Path) -> None:
    """Give a file its name, which must be free."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        temporary.rename(target)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, and make them survive a power loss."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def load(path: Path) -> Run:
    """Read a run file, or the journal of an unfinished run.

    Raises:
        DataError: if it is missing, truncated, damaged, of a newer schema, or not ours.
    """
    if path.name.endswith(".partial"):
        return Journal(path.with_name(path.name.removesuffix(".partial"))).read()
    return decode(_read(path), str(path))


def decode(content: bytes, name: str) -> Run:
    """Read a run file that is in memory already.

    Raises:
        DataError: naming it, if it is truncated, damaged, of a newer schema, or not ours.
    """
    _check_envelope(name, content)
    try:
        return msgspec.json.decode(content, type=Run)
    except UNDECODABLE as error:
        raise DataError(f"{name} is damaged: {error}") from error


def merge(runs: list[Run]) -> Run:
    """Join the units of runs of one machine.

    Where a workload repeats in an element type on a device, the later run's cells of these stay.

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
            units[place] = None if is_replaced else replace(unit, cells=kept)  # where it came first
    implementations = {record.name: record for run in runs for record in run.header.implementations}
    header = replace(
        first.header,
        suites=tuple(dict.fromkeys(suite for run in runs for suite in run.header.suites)),
        implementations=tuple(implementations.values()),
        planned=tuple(dict.fromkeys(name for run in runs for name in run.header.planned)),
        suite_files={name: file for run in runs for name, file in run.header.suite_files.items()},
    )
    finished = max(run.finished for run in runs) if all(run.finished for run in runs) else ""
    return Run(header, tuple(filter(None, units.values())), finished=finished)


Kind = tuple[str, str, str, str]
"""Suite, workload, element type and device."""


def _place(unit: Unit) -> tuple[str, str]:
    return unit.workload.suite, unit.workload.name


def _kinds(unit: Unit) -> list[Kind]:
    """Of each cell."""
    return [(*_place(unit), cell.dtype, cell.device) for cell in unit.cells]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise DataError(f"{path} is larger than {LARGEST_FILE_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _check_envelope(path: Path | str, content: bytes) -> None:
    try:
        envelope = msgspec.json.decode(content, type=_Envelope)
    except msgspec.ValidationError as error:
        raise ForeignFileError(f"{path} is not a sparsebench run file: {error}") from error
    except UNDECODABLE as error:
        raise DataError(f"{path} is truncated, or not JSON at all: {error}") from error
    if envelope.format != FORMAT:
        raise ForeignFileError(f"{path} is not a sparsebench run file: it does not say {FORMAT!r}")
    if envelope.schema > SCHEMA:
        raise DataError(
            f"{path} has schema {envelope.schema}, newer than the {SCHEMA} that this version reads: "
            f"update sparsebench"
        )
    if envelope.schema < 1:
        raise DataError(f"{path} has no schema version")


def sync_folder(folder: Path) -> None:
    """Make a new directory entry survive a power loss, where the system lets a folder be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
