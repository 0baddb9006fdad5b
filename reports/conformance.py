"""What passed the check and what did not, by workload and implementation, with numbered reasons."""

from collections import Counter
from dataclasses import dataclass

from bench.results.schema import WRONG, Cell, Status
from reports import words
from reports.speed import Comparison, Setting, Table
from reports.unmeasured import ORDER, Unmeasured

PASSED = "passed"


@dataclass(frozen=True)
class Entry:
    """One implementation on the workloads of a line.

    Attributes:
        status: `passed`, a status, or empty where nothing was tried.
        text: what stands in the table.
        reasons: numbers of the reasons, from 1, in the list of what was not measured.
    """

    status: str
    text: str
    reasons: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """Workloads of one group that ended alike for every implementation."""

    name: str
    workloads: int
    entries: tuple[Entry, ...]


def conformance(
    comparison: Comparison, setting: Setting, unmeasured: list[Unmeasured]
) -> list[Line]:
    """Return a line for each group of workloads that ended alike, in the order of the run."""
    numbers = {
        (entry.status, entry.implementation, entry.reason): place
        for place, entry in enumerate(unmeasured, start=1)
    }
    members: dict[tuple[str, tuple[Entry, ...]], list[str]] = {}
    for table in comparison.of(setting):
        entries = tuple(_entry(table, name, numbers) for name in comparison.implementations)
        group = table.workload.group or table.workload.name
        members.setdefault((group, entries), []).append(table.workload.name)
    return [
        Line(group if len(names) > 1 else names[0], len(names), entries)
        for (group, entries), names in members.items()
    ]


def finding(lines: list[Line], implementations: tuple[str, ...]) -> str:
    """Say who failed the check, or that nobody did."""
    wrong = {
        name: sum(line.workloads for line in lines if line.entries[place].status in WRONG)
        for place, name in enumerate(implementations)
    }
    named = [
        f"{words.label(name, 30)} in {words.count(number, 'workload')}"
        for name, number in wrong.items()
        if number
    ]
    return f"failed: {words.listed(named)}" if named else "nothing that was timed or tried failed"


def _entry(table: Table, name: str, numbers: dict[tuple[Status, str, str], int]) -> Entry:
    cells = [row.cell for row in table.rows if row.cell.implementation == name]
    failed = [cell for cell in cells if cell.status is not Status.OK]
    passed = len(cells) - len(failed)
    if not cells:
        return Entry("", "not tried")
    if not failed:
        return Entry(PASSED, f"✓ {passed}, {_checks(cells)}")
    counts = Counter(cell.status for cell in failed)
    worst = min(counts, key=ORDER.index)
    text = ", ".join(
        f"{'✗' if status in WRONG else words.DASH} {amount} {status.replace('_', ' ')}"
        for status, amount in counts.items()
    )
    reasons = {numbers[cell.status, cell.implementation, cell.reason] for cell in failed}
    return Entry(str(worst), f"✓ {passed}, {text}" if passed else text, tuple(sorted(reasons)))


def _checks(cells: list[Cell]) -> str:
    """How the oracle checked: against what."""
    return ", ".join(dict.fromkeys(cell.verified for cell in cells))
