"""How far a cell is from the physical limit of the machine it ran on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.phases import Phase
from bench.results.schema import Rate, Run
from reports import words
from reports.speed import Comparison, Row, Setting


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
    """One implementation in one phase and setting, over all workloads.

    Attributes:
        median_share, lowest_share, highest_share: of the physical limit.
        multiply_adds_per_second, bytes_per_second: the highest of any workload.
        memory_bound: number of cells whose limit is the copy rate.
    """

    implementation: str
    median_share: float | None
    lowest_share: float | None
    highest_share: float | None
    multiply_adds_per_second: float
    bytes_per_second: float
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
            rates = efficiency(row, table.workload.name, limit)
            if rates is not None:
                found.append(rates)
    return found


def summarise(
    cells: list[Efficiency], implementations: Sequence[str]
) -> list[tuple[Phase, list[EfficiencySummary]]]:
    """Sum up by phase and implementation in this order; phases that multiply nothing are left out."""
    found = []
    for phase in Phase:
        members: dict[str, list[Efficiency]] = {}
        for cell in cells:
            if cell.row.cell.phase is phase and cell.multiply_adds_per_second > 0:
                members.setdefault(cell.row.cell.implementation, []).append(cell)
        if members:
            order = [name for name in implementations if name in members]
            found.append((phase, [_summary(name, members[name]) for name in order]))
    return found


def shares(
    summaries: list[tuple[Phase, list[EfficiencySummary]]],
) -> Iterator[tuple[Phase, str]]:
    """Yield what share of the limit each implementation reaches by phase, the highest first."""
    for phase, rows in summaries:
        known = sorted(
            (
                (row.median_share, row.implementation)
                for row in rows
                if row.median_share is not None
            ),
            reverse=True,
        )
        if known:
            yield (
                phase,
                words.listed(
                    f"{words.label(name)} {words.percent(share)}" for share, name in known
                ),
            )


def efficiency(row: Row, workload: str, limit: Rate | None) -> Efficiency | None:
    """Return the rates of a row; None without a time or without known work."""
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


def _summary(name: str, cells: list[Efficiency]) -> EfficiencySummary:
    shares = sorted(cell.share for cell in cells if cell.share is not None)
    return EfficiencySummary(
        name,
        median(shares) if shares else None,
        shares[0] if shares else None,
        shares[-1] if shares else None,
        max(cell.multiply_adds_per_second for cell in cells),
        max(cell.bytes_per_second for cell in cells),
        sum(cell.bound == "memory" for cell in cells if cell.share is not None),
        len(cells),
    )
