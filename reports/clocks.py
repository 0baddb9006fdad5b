"""A GPU's own time of a call beside the wall clock's, workload by workload."""

import statistics
from dataclasses import dataclass

from bench.phases import Phase
from bench.results.schema import Timing
from bench.statistics.intervals import other_seconds
from reports import words
from reports.speed import Comparison, Row, Setting

LATE = 0.1
"""Share of samples from which on it is told that they began before all was queued."""


@dataclass(frozen=True)
class Clocks:
    """Both times of one phase in one setting.

    Attributes:
        implementations: those with both times anywhere.
        lines: number of the workload's table, its name, and by implementation the GPU's seconds and
            the wall clock's.
        relative: median over workloads of the wall clock's time relative to the GPU's, by
            implementation.
    """

    phase: Phase
    implementations: tuple[str, ...]
    lines: tuple[tuple[int, str, tuple[tuple[float, float] | None, ...]], ...]
    relative: tuple[float, ...]


def clocks(comparison: Comparison, setting: Setting) -> list[Clocks]:
    """Return the times of all phases that have both; of a CPU there are none."""
    return [found for phase in Phase if (found := _of_phase(comparison, setting, phase))]


def finding(found: Clocks) -> str:
    """Say how much longer each one's calls take by the wall clock."""
    return words.listed(
        f"{words.label(name)} {words.ratio(ratio)}"
        for ratio, name in sorted(zip(found.relative, found.implementations, strict=True))
    )


def late_cells(timings: list[Timing]) -> int:
    """Of how many of these a GPU began many samples before all of their launches were queued."""
    return sum(_is_late(timing) for timing in timings)


def _is_late(timing: Timing) -> bool:
    late = sum(samples.late for samples in timing.processes)
    return late > LATE * sum(len(each) for samples in timing.processes for each in samples.rounds)


def _of_phase(comparison: Comparison, setting: Setting, phase: Phase) -> Clocks | None:
    found = []
    for number, table in enumerate(comparison.tables):
        own = {row.cell.implementation: _both(row) for row in table.rows if row.cell.phase is phase}
        if table.setting == setting and any(own.values()):
            found.append((number, table.workload.name, own))
    names = tuple(
        name
        for name in comparison.implementations
        if any(own.get(name) is not None for _, _, own in found)
    )
    if not names:
        return None
    lines = [(number, name, tuple(map(own.get, names))) for number, name, own in found]
    relative = [
        statistics.median([wall / device for device, wall in filter(None, column)])
        for column in zip(*(times for _, _, times in lines), strict=True)
    ]
    return Clocks(phase, names, tuple(lines), tuple(relative))


def _both(row: Row) -> tuple[float, float] | None:
    """Seconds of the GPU and of the wall clock."""
    timing = row.cell.timing
    if timing is None or row.seconds is None:
        return None
    other = other_seconds(timing)
    if other is None:
        return None
    first = row.seconds.estimate
    by_events = timing.processes[0].is_coarse
    return (first, other) if by_events else (other, first)
