"""The types of a run file. Illegal states cannot be made: a time exists only where the check passed.

Frozen dataclasses, encoded as JSON by msgspec. Raise `SCHEMA` when an old reader would misread.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any

from bench.background import Background
from bench.phases import Phase

FORMAT = "sparsebench-run"
SCHEMA = 1


class Status(StrEnum):
    """How the measurement of a cell ended."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    INCORRECT = "incorrect"
    ERROR = "error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"


OTHERS = "other programs"
"""Key of the processor time that others used while a unit was measured."""
WRONG = {Status.INCORRECT, Status.ERROR, Status.TIMEOUT}
"""How a cell ends whose implementation failed, rather than its surroundings."""


@dataclass(frozen=True)
class Samples:
    """What one process measured of one cell.

    Attributes:
        process: number of the process, from 0; from as many as the settings have on, it is one of
            `ab`'s second measurement.
        calls: calls in one sample.
        rounds: one entry a round: the durations of that round's samples, each of `calls` calls, in
            nanoseconds by the cell's timer.
        wall_rounds: one sample a round by the wall clock, until a GPU is done, where events on its
            stream time; else empty.
        device_rounds: one sample a round by those events, where the wall clock times a GPU; else empty.
        first_calls: of each round, the first call by itself, on a CPU: the caches are as whoever was
            visited before left them, while the samples come right after it. Of calls so long that a
            round has one, that one is both.
        disturbed: rounds in which the operating system took the processor away: flagged and counted,
            never dropped.
        stop: why measuring stopped: `precise`, `stable` or `budget`.
        late: samples that a GPU began before all was queued: gaps between launches are in them.
        is_coarse: whether a round's value is the mean of its samples, as the clock's ticks are long,
            and a median is one of them; else it is the median.
    """

    process: int
    calls: int
    rounds: tuple[tuple[int, ...], ...]
    wall_rounds: tuple[tuple[int, ...], ...] = ()
    disturbed: tuple[int, ...] = ()
    stop: str = "budget"
    late: int = 0
    is_coarse: bool = False
    device_rounds: tuple[tuple[int, ...], ...] = ()
    first_calls: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.calls < 1 or not self.rounds or not all(self.rounds):
            raise ValueError("samples need at least one call, one round, and one sample a round")
        if min(chain(map(min, self.rounds), self.first_calls)) <= 0:
            raise ValueError("durations must be positive")
        if self.first_calls and len(self.first_calls) != len(self.rounds):
            raise ValueError("every round has a first call, or none has")


def value_of_round(durations: Sequence[int], *, is_coarse: bool) -> float:
    """Nanoseconds of a round: the median of its samples, or their mean, see `Samples.is_coarse`."""
    return statistics.fmean(durations) if is_coarse else statistics.median(durations)


@dataclass(frozen=True)
class Timing:
    """The samples of a cell, by process, and the clock that took them."""

    timer: str
    processes: tuple[Samples, ...]

    def __post_init__(self) -> None:
        if not self.processes:
            raise ValueError("a timing needs samples of at least one process")


@dataclass(frozen=True)
class Work:
    """What a phase must do at least.

    Attributes:
        multiply_adds: on active pairs; 0 for phases that multiply nothing.
        dense_multiply_adds: of the same phase on the whole grid.
        bytes: read or written at least once.
    """

    multiply_adds: int
    dense_multiply_adds: int
    bytes: int


@dataclass(frozen=True)
class Cell:
    """One measurement: implementation x workload x phase x dtype x device.

    Attributes:
        status: how it ended.
        reason: why, in words, for every status but `ok`.
        verified: how the oracle checked it: `dense`, `plain dense`, `all windows`, or how many of them.
        peak_bytes: most memory that one call took beyond what stood before, where it is known.
        timing: the samples; there if and only if the status is `ok`.
        layers: median nanoseconds of each layer of a network, in order, `encode` first in a cold
            phase; from passes of their own, outside of the samples. Empty where not taken.
        parts: median nanoseconds that a call of a single operator takes less without one of its
            parts, by part, and in `rest` what all of them leave; from calls of their own. Empty where
            not taken.
        instructions: of a call, on one processor thread and outside of the kernel, as the processor's
            counter has it; None where there is no counter. Beside the time, never instead of it.
    """

    workload: str
    workload_version: str
    implementation: str
    implementation_version: str
    phase: Phase
    dtype: str
    device: str
    status: Status
    reason: str = ""
    verified: str = ""
    work: Work | None = None
    peak_bytes: int | None = None
    timing: Timing | None = None
    layers: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    instructions: int | None = None

    def __post_init__(self) -> None:
        if (self.timing is not None) != (self.status is Status.OK):
            raise ValueError(
                f"a cell with status {self.status} and timing {self.timing is not None}"
            )
        if self.status is Status.OK and not self.verified:
            raise ValueError("a cell with status ok must say how it was verified")
        if self.status is not Status.OK and not self.reason:
            raise ValueError(f"a cell with status {self.status} must give a reason")

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What identifies the cell within a run."""
        return (self.workload, self.implementation, self.phase, self.dtype, self.device)


@dataclass(frozen=True)
class WorkloadRecord:
    """A workload as it was measured.

    Attributes:
        sites: active input sites, over all samples.
        output_sites: active output sites.
        axis: what `position` counts: `density`, `grid size`, ...
        neighbours: mean number of active sites under the kernel, over the outputs of all layers that
            have one.
        definition: what its version is the hash of.
    """

    name: str
    version: str
    suite: str
    group: str
    position: float
    batch_size: int
    grid_size: tuple[int, ...]
    channels: int
    output_channels: int
    sites: int
    density: float
    output_sites: int
    neighbours: float
    definition: dict[str, Any]
    axis: str = "density"
    background: Background = Background.ZERO


@dataclass(frozen=True)
class ImplementationRecord:
    """An implementation as it was found.

    Attributes:
        unavailable: why it could not run here, or empty.
        ledger: by phase, what lies inside its timed region.
        file: name of the plug-in file that it came from, or empty.
        commit: of the repository that its source file lies in, with `+dirty` where that has changes;
            empty outside of git, and for what lies in sparsebench's own checkout.
    """

    name: str
    version: str
    origin: str
    starts_dense: bool
    unavailable: str
    ledger: dict[str, str]
    file: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Rate:
    """A physical limit of the machine, measured in the same run."""

    device: str
    dtype: str
    multiply_adds_per_second: float
    bytes_per_second: float


@dataclass(frozen=True)
class Machine:
    """Where a run took place.

    Attributes:
        name: readable key of what must agree for two runs to be comparable.
        facts: everything else that was recorded, by topic.
        rates: matrix multiply and copy rates.
        doubts: what casts doubt on the times, in words: other load, throttling, no pinning.
    """

    name: str
    facts: dict[str, str]
    rates: tuple[Rate, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """How a run was measured.

    Attributes:
        seconds: budget of one phase of one workload in one process.
        precision: half-width of the 99 % interval of every pairwise log-ratio to stop at.
        processes: fresh processes a workload.
        threads: threads of torch, OpenMP, OpenBLAS and MKL in each of them.
        seed: of the order in which a round visits implementations.
        timeout: seconds without a sign of life before a worker is killed.
    """

    seconds: float
    precision: float
    processes: int
    threads: int
    seed: int
    timeout: float
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class GpuConditions:
    """How a GPU fared while a unit was measured, looked at about once a second.

    Attributes:
        looks: that found it at work.
        megahertz: lowest and highest clock of its multiprocessors in these; None where untold.
        celsius: temperature at the beginning and at the end; None where untold.
        slowed: looks at work in which the clock was kept down, by what did so.
    """

    looks: int
    megahertz: tuple[int, int] | None
    celsius: tuple[int, int] | None
    slowed: dict[str, int]

    def followed_by(self, later: "GpuConditions") -> "GpuConditions":
        """Sum up with what was seen of the same GPU later."""
        clocks = [clock for each in (self, later) for clock in each.megahertz or ()]
        heat = [celsius for each in (self, later) for celsius in each.celsius or ()]
        reasons = dict.fromkeys([*self.slowed, *later.slowed])
        return GpuConditions(
            looks=self.looks + later.looks,
            megahertz=(min(clocks), max(clocks)) if clocks else None,
            celsius=(heat[0], heat[-1]) if heat else None,
            slowed={why: self.slowed.get(why, 0) + later.slowed.get(why, 0) for why in reasons},
        )


@dataclass(frozen=True)
class Unit:
    """What is measured in one go and written in one go: a workload with all implementations.

    Attributes:
        workload: what was measured.
        cells: of all implementations and phases.
        seconds: wall time, and what the workers spent it on; processor time of the workers, and of
            all that was no part of the run (`OTHERS`).
        gpu: how the GPU fared; None on a CPU, and where nothing tells of it.
        settings: how it was measured, where that is not as the header has it: runs were joined.
    """

    workload: WorkloadRecord
    cells: tuple[Cell, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    gpu: GpuConditions | None = None
    settings: Settings | None = None


@dataclass(frozen=True)
class Header:
    """A run, as known when it starts.

    Attributes:
        suite_files: by name, the file, without its folder, that a suite was loaded from; of those
            that are not installed.
        suite_commits: of the repositories that these files lie in, as of implementations.
        pair: what the two runs have in common that `ab` measured in lock step; else empty.
    """

    id: str
    started: str
    command: tuple[str, ...]
    commit: str
    suites: tuple[str, ...]
    machine: Machine
    settings: Settings
    implementations: tuple[ImplementationRecord, ...]
    planned: tuple[str, ...]
    suite_files: dict[str, str] = field(default_factory=dict)
    suite_commits: dict[str, str] = field(default_factory=dict)
    pair: str = ""

    @property
    def commits(self) -> dict[str, str]:
        """Commits of the repositories that implementations lie in, by name; of those that have one."""
        return {record.name: record.commit for record in self.implementations if record.commit}

    @property
    def all_commits(self) -> dict[str, str]:
        """The same, with suites that are files, as `suite NAME`."""
        return self.commits | {f"suite {name}": at for name, at in self.suite_commits.items()}


@dataclass(frozen=True)
class Run:
    """A whole run file.

    Attributes:
        finished: when; empty if the run was interrupted.
    """

    header: Header
    units: tuple[Unit, ...]
    finished: str = ""
    format: str = FORMAT
    schema: int = SCHEMA

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order of their measurement."""
        return tuple(cell for unit in self.units for cell in unit.cells)

    def settings_of(self, unit: Unit) -> Settings:
        """How one of its units was measured."""
        return unit.settings or self.header.settings

    @property
    def settings(self) -> tuple[Settings, ...]:
        """All that units were measured with, each once; the header's where there is no unit."""
        found = tuple(dict.fromkeys(self.settings_of(unit) for unit in self.units))
        return found or (self.header.settings,)

    @property
    def workloads(self) -> tuple[WorkloadRecord, ...]:
        """All workloads, in the order of their measurement, each once."""
        found = {(unit.workload.suite, unit.workload.name): unit.workload for unit in self.units}
        return tuple(found.values())
