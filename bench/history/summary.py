"""What history keeps of a run: one row for each cell, as Parquet."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import duckdb
import msgspec

from bench.baseline import BASELINE
from bench.results.schema import Cell, Run, Timing
from bench.statistics.intervals import ratio, seconds_per_call
from bench.temporary import TemporaryFolder

VERSION = 2
"""Raise it when the columns or their meaning change: all summaries are then derived anew."""
MAGIC = b"PAR1"
"""What a Parquet file begins and ends with."""


@dataclass(frozen=True)
class Row:
    """One cell of one run.

    Attributes:
        run: name of the run within the archive, which sorts by time.
        commit: of sparsebench.
        machine: what must agree for times to be compared.
        libraries: versions that matter.
        implementation_commit: of the repository that the implementation lies in; empty where that is
            sparsebench's, or none.
        seconds: median time of a call; None where the cell has none.
        relative: time over that of the baseline, the run's first implementation that starts from a
            dense tensor, by rounds that were measured in turn; None for the baseline itself.
    """

    run: str
    started: str
    commit: str
    machine: str
    libraries: str
    suite: str
    workload: str
    workload_version: str
    implementation: str
    implementation_version: str
    implementation_commit: str
    phase: str
    dtype: str
    device: str
    status: str
    reason: str
    seconds: float | None
    baseline: str | None
    relative: float | None


COLUMNS = {
    field.name: "DOUBLE" if field.name in {"seconds", "relative"} else "VARCHAR"
    for field in fields(Row)
}


def to_parquet(run: Run, name: str) -> bytes:
    """Sum a run up: one row a cell, as the bytes of a Parquet file."""
    with TemporaryFolder("sparsebench-history-") as folder:
        lines, target = folder / "rows.json", folder / "rows.parquet"
        lines.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows(run, name)))
        with duckdb.connect() as database:
            database.read_json(
                str(lines), columns=COLUMNS, format="newline_delimited"
            ).write_parquet(str(target), compression="zstd")
        return target.read_bytes()


def baseline_of(run: Run) -> str | None:
    """What a run's times are followed relative to: dense, or else the first that starts dense."""
    found = [each.name for each in run.header.implementations if each.starts_dense]
    return BASELINE if BASELINE in found else next(iter(found), None)


def rows(run: Run, name: str) -> Iterator[Row]:
    """Yield one row for each cell of a run."""
    baseline = baseline_of(run)
    header = run.header
    commits = header.commits
    libraries = header.machine.facts.get("libraries", "")
    for unit in run.units:
        times = {
            _place(cell): cell.timing for cell in unit.cells if cell.implementation == baseline
        }
        for cell in unit.cells:
            seconds, relative = _times(cell, times.get(_place(cell)), baseline)
            yield Row(
                name,
                header.started,
                header.commit,
                header.machine.name,
                libraries,
                unit.workload.suite,
                cell.workload,
                cell.workload_version,
                cell.implementation,
                cell.implementation_version,
                commits.get(cell.implementation, ""),
                str(cell.phase),
                cell.dtype,
                cell.device,
                str(cell.status),
                cell.reason,
                seconds,
                baseline,
                relative,
            )


def looks_whole(path: Path) -> bool:
    """Whether a file is there, and begins and ends as Parquet does."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                return False
            stream.seek(-len(MAGIC), 2)
            return stream.read() == MAGIC
    except OSError:
        return False


def _place(cell: Cell) -> tuple[str, str, str]:
    return (cell.phase, cell.dtype, cell.device)


def _times(
    cell: Cell, base: Timing | None, baseline: str | None
) -> tuple[float | None, float | None]:
    """Seconds of a cell, and its ratio to the baseline."""
    if cell.timing is None:
        return None, None
    seconds = seconds_per_call(cell.timing).estimate
    if base is None or cell.implementation == baseline:
        return seconds, None
    found = ratio(cell.timing, base)
    return seconds, found.interval.estimate if found else None
