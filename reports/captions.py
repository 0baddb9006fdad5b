"""What each table shows, in the sentence above it."""

from collections import Counter

from bench.phases import Phase
from bench.results.schema import Status
from bench.statistics.verdicts import Verdict
from reports import words
from reports.speed import Comparison, Setting, Table
from reports.standing import Standing


def overview(comparison: Comparison, setting: Setting, phase: Phase, rows: list[Standing]) -> str:
    """Say how each implementation does against the baseline in a phase."""
    start = f"{phase}, {setting.title}"
    if not rows:
        return f"{start}: there are no times."
    if not comparison.has_baseline:
        return f"{start}: {_fastest_counts(rows)}; times only, since there is no baseline."
    baseline = words.label(comparison.baseline)
    parts = []
    for row in rows:
        if row.verdicts:
            counts = words.listed(
                f"{verdict} in {row.verdicts[verdict]}"
                for verdict in Verdict
                if row.verdicts[verdict]
            )
            parts.append(f"{words.label(row.implementation)} is {counts}")
    if not parts:
        return f"{start}: {baseline} is alone, so there is nothing to compare it with."
    return f"{start}: against {baseline}, {'; '.join(parts)} of {_workloads(rows)}."


def table(comparison: Comparison, found: Table) -> str:
    """Say who is fastest on a workload in each of the main phases."""
    phases: dict[str, list[str]] = {}
    for phase in comparison.headline:
        names = words.listed(
            words.label(row.cell.implementation, 30)
            for row in found.rows
            if row.cell.phase is phase and row.fastest
        )
        if names:
            phases.setdefault(names, []).append(str(phase))
    if phases:
        return "fastest: " + "; ".join(
            f"{names} in {words.listed(where)}" for names, where in phases.items()
        )
    statuses = Counter(row.cell.status for row in found.rows)
    if statuses[Status.OK]:
        return "only one implementation has times"
    return "no times: " + words.listed(f"{number} {status}" for status, number in statuses.items())


def _fastest_counts(rows: list[Standing]) -> str:
    return "fastest are " + words.listed(
        f"{words.label(row.implementation)} in {row.fastest} of {row.workloads}" for row in rows
    )


def _workloads(rows: list[Standing]) -> str:
    return words.count(max(row.workloads for row in rows), "workload")
