"""Two runs of the same workloads, cell by cell: what became faster or slower, and what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.exit_codes import ExitCode
from bench.phases import Phase
from bench.results.schema import WRONG, Cell, Run, Status, Timing, Unit
from bench.statistics.intervals import (
    Interval,
    Ratio,
    geometric_mean,
    ratio,
    shared_ratio,
    unpaired_ratio,
)
from bench.statistics.verdicts import Verdict, judged

ABSENT = "absent"
FamilyKey = tuple[str, Phase, str, str]
"""Implementation, phase, element type and device."""


@dataclass(frozen=True)
class CellChange:
    """One cell of two runs.

    Attributes:
        suite: of the workload.
        workload, implementation, phase, dtype, device: what identifies the cell.
        verdict: of the head relative to the base, corrected for all cells that were compared.
        ratio: time of the head over time of the base; None where they cannot be compared.
        base_status, head_status: how the cell ended, or `absent`.
        reason: why there is no ratio, in words.
        instructions: of the head over those of the base, where both were counted.
    """

    suite: str
    workload: str
    implementation: str
    phase: Phase
    dtype: str
    device: str
    verdict: Verdict
    ratio: Ratio | None
    base_status: str
    head_status: str
    reason: str = ""
    instructions: float | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies the cell within a run."""
        return (
            self.suite,
            self.workload,
            self.implementation,
            self.phase,
            self.dtype,
            self.device,
        )

    @property
    def family(self) -> FamilyKey:
        """What identifies the family that it belongs to."""
        return self.implementation, self.phase, self.dtype, self.device

    @property
    def broke(self) -> bool:
        """Whether the base has a time here, and the head has none."""
        return self.base_status == Status.OK != self.head_status

    @property
    def failed(self) -> bool:
        """Whether the implementation is wrong, or fails, where it did not before."""
        return self.head_status in WRONG and self.base_status not in WRONG


@dataclass(frozen=True)
class Family:
    """All compared cells of one implementation in one phase, type and device.

    Attributes:
        mean: geometric mean of the ratios.
        verdicts: how many cells have which.
        shared: the change that the cells share, where they were measured in lock step. It may show
            where every cell by itself is too noisy.
        verdict: of the shared change, corrected for all families; missing where that is not known.
    """

    implementation: str
    phase: Phase
    dtype: str
    device: str
    mean: Interval
    verdicts: dict[Verdict, int]
    shared: Ratio | None = None
    verdict: Verdict = Verdict.MISSING

    @property
    def key(self) -> FamilyKey:
        """What identifies the family."""
        return self.implementation, self.phase, self.dtype, self.device


@dataclass(frozen=True)
class Changes:
    """What differs between two runs.

    Attributes:
        in_lock_step: whether they were measured at the same time, visit by visit in turn.
    """

    base: Run
    head: Run
    cells: tuple[CellChange, ...]
    families: tuple[Family, ...] = ()
    in_lock_step: bool = False

    def of(self, verdict: Verdict) -> list[CellChange]:
        """Cells with this verdict, the largest changes first."""
        found = [cell for cell in self.cells if cell.verdict is verdict]
        return sorted(found, key=lambda cell: -abs_change(cell.ratio))

    @property
    def compared(self) -> list[CellChange]:
        """Cells with a ratio."""
        return [cell for cell in self.cells if cell.ratio is not None]

    @property
    def broken(self) -> list[CellChange]:
        """Cells that have a time in the base and none in the head."""
        return [cell for cell in self.cells if cell.broke]

    @property
    def incomparable(self) -> list[CellChange]:
        """Cells that have a time in both, which cannot be compared."""
        return [
            cell
            for cell in self.cells
            if cell.ratio is None and cell.base_status == cell.head_status == Status.OK
        ]

    @property
    def failed(self) -> list[CellChange]:
        """Cells whose implementation fails in the head and did not in the base."""
        return [cell for cell in self.cells if cell.failed]

    @property
    def slower_families(self) -> list[Family]:
        """Families that share a slowdown, the largest first."""
        found = [family for family in self.families if family.verdict is Verdict.SLOWER]
        return sorted(found, key=lambda family: -abs_change(family.shared))

    @property
    def exit_code(self) -> ExitCode:
        """What matters most: something fails, something is slower, too little is known."""
        if self.failed:
            return ExitCode.WRONG
        if self.of(Verdict.SLOWER) or self.slower_families:
            return ExitCode.SLOWER
        judged: list[CellChange | Family] = [*self.cells, *self.families]
        unknown = any(each.verdict is Verdict.AMBIGUOUS for each in judged)
        missing = self.broken or self.incomparable or not self.compared
        return ExitCode.UNKNOWN if unknown or missing else ExitCode.FINE


def abs_change(ratio: Ratio | None) -> float:
    """Size of a change in either direction; 0 where none is known."""
    if ratio is None:
        return 0.0
    estimate = ratio.interval.estimate
    return max(estimate, 1 / estimate) - 1


def compare_runs(base: Run, head: Run, *, paired: bool = False) -> Changes:
    """Compare every cell that either run has.

    Cells of different machines or workload versions get no ratio, but a reason why there is none.

    Args:
        base: before.
        head: after.
        paired: whether the runs were measured in lock step, so that rounds of the same process and
            number pair.
    """
    before, after = dict(cells_of(base)), dict(cells_of(head))
    refusal = _refusal(base, head)
    divide = ratio if paired else unpaired_ratio
    found = [
        _compare(before.get(key), after.get(key), refusal, divide)
        for key in dict.fromkeys([*before, *after])
    ]
    verdicts = judged([(cell.phase, cell.ratio) for cell in found])
    cells = [replace(cell, verdict=each) for cell, each in zip(found, verdicts, strict=True)]
    families = _families(cells, before, after, in_lock_step=paired)
    return Changes(base, head, tuple(cells), families, paired)


Placed = tuple[Unit, Cell]
Found = dict[tuple[str, ...], Placed]


def _families(
    cells: list[CellChange], before: Found, after: Found, *, in_lock_step: bool
) -> tuple[Family, ...]:
    """Sum up by implementation, phase, type and device."""
    members: dict[FamilyKey, list[CellChange]] = {}
    for cell in cells:
        if cell.ratio is not None:
            members.setdefault(cell.family, []).append(cell)
    shared: list[Ratio | None] = [
        shared_ratio(_timings(own, before, after)) if in_lock_step and len(own) > 1 else None
        for own in members.values()
    ]
    verdicts = judged([(key[1], change) for key, change in zip(members, shared, strict=True)])
    return tuple(
        Family(*key, *_sum_up(own), change, found)
        for (key, own), change, found in zip(members.items(), shared, verdicts, strict=True)
    )


def _timings(cells: list[CellChange], before: Found, after: Found) -> list[tuple[Timing, Timing]]:
    """Head and base of each cell."""
    found = [(after[cell.key][1].timing, before[cell.key][1].timing) for cell in cells]
    return [(head, base) for head, base in found if head is not None and base is not None]


Divide = Callable[[Timing, Timing], Ratio | None]


def cells_of(run: Run) -> Iterator[tuple[tuple[str, ...], Placed]]:
    """Every cell of a run and the unit that it is in, by suite and the cell's key."""
    for unit in run.units:
        for cell in unit.cells:
            yield (unit.workload.suite, *cell.key), (unit, cell)


def _refusal(base: Run, head: Run) -> str:
    """Why no cell of two runs may be compared, or nothing."""
    machines = base.header.machine.name, head.header.machine.name
    if machines[0] != machines[1]:
        return f"measured on different machines: {machines[0]}; {machines[1]}"
    return ""


def _compare(
    before: Placed | None, after: Placed | None, refusal: str, divide: Divide
) -> CellChange:
    placed = after or before
    assert placed is not None  # noqa: S101  # one of the runs has it
    unit, cell = placed
    base, head = before and before[1], after and after[1]
    reason = _why_not(base, head) or refusal
    change = None
    if not reason and base and head and base.timing and head.timing:
        change = divide(head.timing, base.timing)
    instructions = None
    if change and base and head and base.instructions and head.instructions:
        instructions = head.instructions / base.instructions
    return CellChange(
        suite=unit.workload.suite,
        workload=cell.workload,
        implementation=cell.implementation,
        phase=cell.phase,
        dtype=cell.dtype,
        device=cell.device,
        verdict=Verdict.MISSING,
        ratio=change,
        base_status=str(base.status) if base else ABSENT,
        head_status=str(head.status) if head else ABSENT,
        reason=reason,
        instructions=instructions,
    )


def _why_not(base: Cell | None, head: Cell | None) -> str:
    """Why two cells cannot be compared, in words, or nothing."""
    if base is None:
        return "new: the base has no such cell"
    if head is None:
        return "the head has no such cell"
    if base.workload_version != head.workload_version:
        return f"the workload changed: version {base.workload_version}, {head.workload_version}"
    for which, cell in (("head", head), ("base", base)):
        if cell.timing is None:
            return f"{cell.status} in the {which}: {cell.reason}"
    return ""


def _sum_up(cells: list[CellChange]) -> tuple[Interval, dict[Verdict, int]]:
    ratios = [cell.ratio.interval for cell in cells if cell.ratio is not None]
    verdicts = [cell.verdict for cell in cells]
    return geometric_mean(ratios), {each: verdicts.count(each) for each in dict.fromkeys(verdicts)}
