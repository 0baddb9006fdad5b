"""What `ab` measures once more, and what two measurements say together: a slowdown must show again."""

import math
from dataclasses import replace
from typing import TypeVar

from bench.comparison import CellChange, Changes, Family, cells_of, compare_runs
from bench.phases import Phase
from bench.results.schema import WRONG, Cell, Run, Unit
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
    return _judged_again(both, second)


def compare_measured(base: Run, head: Run) -> Changes:
    """Compare runs that were kept: the two of one `ab` as it did itself, all others unpaired."""
    pair = base.header.pair
    if not pair or pair != head.header.pair or base.header.id == head.header.id:
        return compare_runs(base, head)
    both = compare_runs(base, head, paired=True)
    second = compare_runs(_second_of(base), _second_of(head), paired=True)
    return _judged_again(both, second)  # what was slower has been measured twice


def _judged_again(both: Changes, second: Changes) -> Changes:
    """Call what is slower by both measurements ambiguous, unless it shows in the second."""
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
    """The first run, with what the second adds to its cells, its time, and how the GPU fared."""
    more = {key: cell for key, (_, cell) in cells_of(second)}
    later = {unit.workload.name: unit for unit in second.units}
    units = []
    for unit in first.units:
        past = first.settings_of(unit).processes
        cells = [
            _cell_of_both(cell, more.get((unit.workload.suite, *cell.key)), past)
            for cell in unit.cells
        ]
        both = _unit_of_both(unit, later.get(unit.workload.name))
        units.append(replace(both, cells=tuple(cells)))
    return replace(first, units=tuple(units), finished=second.finished)


def _unit_of_both(first: Unit, again: Unit | None) -> Unit:
    """A unit with the time of both measurements, and how the GPU fared in both."""
    if again is None:
        return first
    seconds = {
        what: first.seconds.get(what, 0.0) + again.seconds.get(what, 0.0)
        for what in first.seconds | again.seconds
    }
    gpu = first.gpu
    if gpu is not None and again.gpu is not None:
        gpu = gpu.followed_by(again.gpu)
    return replace(first, seconds=seconds, gpu=gpu)


def _cell_of_both(cell: Cell, again: Cell | None, past: int) -> Cell:
    """A cell with the samples of both measurements; a failed one if it failed in the second.

    Processes of the second are numbered from `past` on.
    """
    if again is not None and again.status in WRONG:
        return again
    if cell.timing is None or again is None or again.timing is None:
        return cell
    shifted = (
        replace(samples, process=past + samples.process) for samples in again.timing.processes
    )
    timing = replace(cell.timing, processes=(*cell.timing.processes, *shifted))
    return replace(cell, timing=timing)


def _second_of(run: Run) -> Run:
    """What the second measurement added to a run, alone."""
    units = []
    for unit in run.units:
        past = run.settings_of(unit).processes
        cells = [again for cell in unit.cells if (again := _cell_again(cell, past)) is not None]
        if cells:
            units.append(replace(unit, cells=tuple(cells)))
    return replace(run, units=tuple(units))


def _cell_again(cell: Cell, past: int) -> Cell | None:
    """A cell with the samples of the second measurement only; None where it has none."""
    if cell.timing is None:
        return None
    again = tuple(samples for samples in cell.timing.processes if samples.process >= past)
    return replace(cell, timing=replace(cell.timing, processes=again)) if again else None
