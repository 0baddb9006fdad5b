"""What was not measured and why: equal reasons are one line."""

from dataclasses import dataclass

from bench.results.schema import Cell, Run, Status

ORDER = (
    Status.INCORRECT,
    Status.ERROR,
    Status.TIMEOUT,
    Status.OUT_OF_MEMORY,
    Status.UNSUPPORTED,
    Status.UNAVAILABLE,
)
"""What a reader should look at first comes first."""


@dataclass(frozen=True)
class Unmeasured:
    """All cells of one implementation that failed for the same reason."""

    status: Status
    implementation: str
    reason: str
    cells: int
    workloads: tuple[str, ...]
    phases: tuple[str, ...]
    settings: tuple[str, ...]


def unmeasured(run: Run) -> list[Unmeasured]:
    """Group the cells without a time by status, implementation and reason."""
    members: dict[tuple[Status, str, str], list[Cell]] = {}
    for cell in run.cells:
        if cell.status is not Status.OK:
            key = (cell.status, cell.implementation, cell.reason)
            members.setdefault(key, []).append(cell)
    found = [
        Unmeasured(
            status,
            name,
            reason,
            len(cells),
            tuple(dict.fromkeys(cell.workload for cell in cells)),
            tuple(dict.fromkeys(str(cell.phase) for cell in cells)),
            tuple(dict.fromkeys(f"{cell.dtype} on {cell.device}" for cell in cells)),
        )
        for (status, name, reason), cells in members.items()
    ]
    return sorted(found, key=lambda entry: (ORDER.index(entry.status), -entry.cells))


def unavailable(run: Run) -> list[tuple[str, str]]:
    """Return the implementations that could not run here at all, with the reason."""
    tried = {cell.implementation for cell in run.cells}
    return [
        (record.name, record.unavailable)
        for record in run.header.implementations
        if record.unavailable and record.name not in tried
    ]


def not_reached(run: Run) -> list[str]:
    """Return the planned workloads that the run never came to."""
    done = {unit.workload.name for unit in run.units}
    return [name for name in run.header.planned if name not in done]
