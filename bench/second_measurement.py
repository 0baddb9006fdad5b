"""What `ab` measures once more, and what two measurements say together: a slowdown must show again."""

import math
from dataclasses import replace
from typing import TypeVar

from bench.comparison import CellChange, Changes, Family, cells_of, compare_runs
from bench.phases import Phase
from bench.results.schema import WRONG, Cell, Run
from bench.statistics.intervals import DEAD_BAND, Ratio
from bench.statistics.verdicts import Verdict

Suspects = dict[str, frozenset[tuple[str, Phase]]]
"""Implementations and phases that may have become slower, by workload."""


def suspected(changes: Changes, *, noisy: bool = True) -> Suspects:
    """What is to be measured again: cells that may have become slower.

    These are cells whose uncorrected interval lies above 1, and all cells of a family whose shared
    change has such an interval.

    Args:
        changes: of everything.
        noisy: whether to add cells that seem slower but are ambiguous.
    """
    families = {family.key for family in changes.families if _may_be_slower(family.shared)}
    found: dict[str, set[tuple[str, Phase]]] = {}
    for cell in changes.compared:
        seems = noisy and cell.verdict is Verdict.AMBIGUOUS and _shows(cell.ratio)
        if seems or _may_be_slower(cell.ratio) or cell.family in families:
            found.setdefault(cell.workload, set()).add((cell.implementation, cell.phase))
    return {workload: frozenset(cells) for workload, cells in found.items()}


def _may_be_slower(found: Ratio | None) -> bool:
    return found is not None and found.interval.low > 1


def together(first: Changes, second: Changes) -> Changes:
    """Judge by two measurements together; a slowdown must show in the second by itself, too.

    Args:
        first: of everything, in lock step.
        second: of what was suspected, measured once more.
    """
    both = compare_runs(
        _joined(first.base, second.base), _joined(first.head, second.head), paired=True
    )
    cells_again = {cell.key: cell.ratio for cell in second.compared}
    families_again = {family.key: family.shared for family in second.families}
    return replace(
        both,
        cells=tuple(_confirmed(cell, cells_again.get(cell.key)) for cell in both.cells),
        families=tuple(
            _confirmed(family, families_again.get(family.key)) for family in both.families
        ),
    )


Judged = TypeVar("Judged", CellChange, Family)


def _confirmed(judged: Judged, again: Ratio | None) -> Judged:
    """Call what is slower ambiguous, unless it shows again."""
    if judged.verdict is Verdict.SLOWER and not _shows(again):
        return replace(judged, verdict=Verdict.AMBIGUOUS)
    return judged


def _shows(found: Ratio | None) -> bool:
    return found is not None and found.interval.estimate > math.exp(DEAD_BAND)


def _joined(first: Run, second: Run) -> Run:
    """The first run, with what the second adds to its cells, and to how the GPU fared."""
    more = {key: cell for key, (_, cell) in cells_of(second)}
    later = {unit.workload.name: unit.gpu for unit in second.units}
    units = []
    for unit in first.units:
        cells = [
            _cell_of_both(cell, more.get((unit.workload.suite, *cell.key))) for cell in unit.cells
        ]
        again = later.get(unit.workload.name)
        gpu = unit.gpu if again is None or unit.gpu is None else unit.gpu.followed_by(again)
        units.append(replace(unit, cells=tuple(cells), gpu=gpu))
    return replace(first, units=tuple(units))


def _cell_of_both(cell: Cell, again: Cell | None) -> Cell:
    """A cell with the samples of both measurements; a failed one if it failed in the second."""
    if again is not None and again.status in WRONG:
        return again
    if cell.timing is None or again is None or again.timing is None:
        return cell
    past = 1 + max(samples.process for samples in cell.timing.processes)
    shifted = (
        replace(samples, process=past + samples.process) for samples in again.timing.processes
    )
    timing = replace(cell.timing, processes=(*cell.timing.processes, *shifted))
    return replace(cell, timing=timing)
