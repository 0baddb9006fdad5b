"""How far a cell is from the physical limit of the machine it ran on."""

from dataclasses import dataclass

from bench.phases import Phase
from bench.results.schema import Rate, Run
from reports.speed import Comparison, Row, Setting
from reports.words import median


@dataclass(frozen=True)
class Efficiency:
    """Rates of one cell.

    Attributes:
        intensity: multiply-adds per byte.
        share: shortest time that the measured rates allow, over the time taken; above 1 where the
            data stayed in a cache that the copy rate does not see.
        bound: which rate sets that limit, `compute` or `memory`.
    """

    row: Row
    workload: str
    multiply_adds_per_second: float
    bytes_per_second: float
    intensity: float
    share: float | None
    bound: str


@dataclass(frozen=True)
class EfficiencySummary:
    """One implementation in one phase and setting, over all workloads."""

    implementation: str
    phase: Phase
    median_share: float | None
    best: Efficiency
    worst: Efficiency
    fastest_arithmetic: Efficiency
    fastest_traffic: Efficiency
    memory_bound: int
    cells: int


def rate_of(run: Run, setting: Setting) -> Rate | None:
    """Return the machine's measured rates for a setting."""
    rates = run.header.machine.rates
    exact = (r for r in rates if (r.device, r.dtype) == (setting.device, setting.dtype))
    # A device may be named with its number, `cuda:0`, where its rates go by its type.
    kind = setting.device.split(":")[0]
    by_type = (r for r in rates if (r.device, r.dtype) == (kind, setting.dtype))
    return next(exact, None) or next(by_type, None)


def efficiencies(run: Run, comparison: Comparison, setting: Setting) -> list[Efficiency]:
    """Return the rates of every timed cell whose work is known."""
    limit = rate_of(run, setting)
    found = []
    for table in comparison.of(setting):
        for row in table.rows:
            efficiency = _efficiency(row, table.workload.name, limit)
            if efficiency is not None:
                found.append(efficiency)
    return found


def summarise(cells: list[Efficiency]) -> list[EfficiencySummary]:
    """Sum up by implementation and phase, phases that multiply nothing left out."""
    members: dict[tuple[Phase, str], list[Efficiency]] = {}
    for cell in cells:
        if cell.multiply_adds_per_second > 0:
            key = (cell.row.cell.phase, cell.row.cell.implementation)
            members.setdefault(key, []).append(cell)
    order = list(Phase)
    found = []
    for (phase, name), group in sorted(members.items(), key=lambda item: order.index(item[0][0])):
        shares = [cell.share for cell in group if cell.share is not None]
        ranked = sorted(group, key=lambda cell: cell.share or 0.0)
        found.append(
            EfficiencySummary(
                name,
                phase,
                median(shares) if shares else None,
                ranked[-1],
                ranked[0],
                max(group, key=lambda cell: cell.multiply_adds_per_second),
                max(group, key=lambda cell: cell.bytes_per_second),
                sum(cell.bound == "memory" for cell in group),
                len(group),
            )
        )
    return found


def _efficiency(row: Row, workload: str, limit: Rate | None) -> Efficiency | None:
    work = row.cell.work
    if row.seconds is None or work is None or work.bytes <= 0:
        return None
    taken = row.seconds.estimate
    compute = memory = 0.0
    if limit is not None and limit.multiply_adds_per_second > 0 and limit.bytes_per_second > 0:
        compute = work.multiply_adds / limit.multiply_adds_per_second
        memory = work.bytes / limit.bytes_per_second
    shortest = max(compute, memory)
    return Efficiency(
        row,
        workload,
        work.multiply_adds / taken,
        work.bytes / taken,
        work.multiply_adds / work.bytes,
        shortest / taken if shortest > 0 else None,
        "memory" if memory >= compute else "compute",
    )
