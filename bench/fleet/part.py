"""The part that one kind of machine has in a sweep: every workload, and what came back of them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.commits import moved
from bench.errors import UserError
from bench.results.schema import Header, Run
from bench.results.store import Journal
from bench.time_of_day import now

FAILURES_IN_A_ROW = 3
"""So many units that cannot be measured, one after the other, end a part."""


class Part:
    """All workloads on one kind of machine; goes on with a journal that is there.

    Attributes:
        label: the resource that its workers have.
        machine: its name.
        workloads: names of all of them.
        missing: names of those that are not measured yet.
        given_up: why no more is to come; empty while it may.

    Raises:
        UserError: if the run file is of another sweep, or the journal is.
    """

    def __init__(
        self, journal: Journal, label: str, machine: str, workloads: Sequence[str]
    ) -> None:
        self.journal = journal
        self.label = label
        self.machine = machine
        self.given_up = ""
        self.failures_in_a_row = 0
        self._failures: list[str] = []
        self.workloads = tuple(workloads)
        self._whole = journal.completed()
        begun = journal.read() if journal.path.exists() else self._whole
        if begun is not None and begun.header.planned != self.workloads:
            path = journal.target if self._whole else journal.path
            raise UserError(f"{path} holds a sweep of other workloads: move it")
        self._header = begun.header if begun else None
        done = {unit.workload.name for unit in begun.units} if begun else set()
        self.missing = [name for name in self.workloads if name not in done]

    def keep(self, name: str, run: Run) -> None:
        """Keep what came back of one workload.

        Raises:
            UserError: if it was measured otherwise than those before.
        """
        if self._header is None:
            command = ("sparsebench", *sys.argv[1:])
            self._header = replace(run.header, command=command, planned=self.workloads)
            self.journal.begin(self._header)
        elif _how(run.header) != _how(self._header) or _moved(self._header, run.header):
            raise UserError(
                f"{name} came back with other settings, implementations or another commit than "
                f"{self.journal.path} has"
            )
        for unit in run.units:
            self.journal.add(unit)
        self.missing.remove(name)
        self.failures_in_a_row = 0

    def fail(self, reason: str) -> None:
        """Go without a unit; without all others, too, if one after the other fails."""
        self._failures.append(reason)
        self.failures_in_a_row += 1
        if self.failures_in_a_row == FAILURES_IN_A_ROW:
            self.given_up = f"{FAILURES_IN_A_ROW} failed one after the other: {reason}"

    def finish(self) -> Path:
        """Write the run file, its units in the order of the plan."""
        if self._whole is not None:
            return self.journal.target
        run = self.journal.read()
        units = sorted(run.units, key=lambda unit: self.workloads.index(unit.workload.name))
        return self.journal.finish(Run(run.header, tuple(units), finished=now()))

    def why_unfinished(self) -> str:
        """One line."""
        done = len(self.workloads) - len(self.missing)
        kept = f"{done} of {len(self.workloads)} workloads are kept in {self.journal.path}"
        reason = self.given_up or self._failures[-1]
        return f"{self.machine}: {reason}; {kept if done else 'nothing was finished'}"


def _how(header: Header) -> object:
    """What units of one run file have in common."""
    implementations = [(record.name, record.version) for record in header.implementations]
    return header.settings, header.commit, implementations


def _moved(first: Header, later: Header) -> bool:
    """Whether a plug-in or a suite is known to be at another commit; not every worker has git."""
    return bool(moved(first.all_commits, later.all_commits))
