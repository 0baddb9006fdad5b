"""What a call takes right after its own kind, and what after others, workload by workload."""

from dataclasses import dataclass

from bench.phases import Phase
from bench.statistics.intervals import Interval
from reports.speed import Comparison, Setting


@dataclass(frozen=True)
class FirstCalls:
    """Both times of one phase in one setting.

    Attributes:
        implementations: those whose first calls were timed anywhere.
        lines: number of the workload's table, its name, and by implementation the seconds of a first
            call and those of a call in a loop.
    """

    phase: Phase
    implementations: tuple[str, ...]
    lines: tuple[tuple[int, str, tuple[tuple[Interval, Interval] | None, ...]], ...]


def first_calls(comparison: Comparison, setting: Setting) -> list[FirstCalls]:
    """Return the times of all headline phases; of a GPU, whose caches are flushed, there are none."""
    return [
        found for each in comparison.headline if (found := _of_phase(comparison, setting, each))
    ]


def _of_phase(comparison: Comparison, setting: Setting, phase: Phase) -> FirstCalls | None:
    found = []
    for number, table in enumerate(comparison.tables):
        own = {
            row.cell.implementation: (row.first_seconds, row.seconds)
            for row in table.rows
            if row.cell.phase is phase and row.first_seconds and row.seconds
        }
        if table.setting == setting and own:
            found.append((number, table.workload.name, own))
    names = tuple(
        name for name in comparison.implementations if any(name in own for *_, own in found)
    )
    lines = tuple((number, title, tuple(map(own.get, names))) for number, title, own in found)
    return FirstCalls(phase, names, lines) if names else None
