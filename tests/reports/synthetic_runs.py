"""Runs made up through the schema's own types, with known times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.phases import TIMED_REGION, TIMED_REGION_FROM_DENSE, Phase
from bench.results.schema import (
    Cell,
    Header,
    ImplementationRecord,
    Machine,
    Rate,
    Run,
    Samples,
    Settings,
    Status,
    Timing,
    Unit,
    Work,
    WorkloadRecord,
)

HEADLINE = (Phase.FORWARD, Phase.FORWARD_COLD, Phase.TRAIN_STEP)
ALL_PHASES = tuple(Phase)
DENSE_SECONDS = 1e-3
PHASE_FACTOR = {
    Phase.ENCODE: 0.1,
    Phase.MAP: 0.2,
    Phase.FORWARD: 1.0,
    Phase.BACKWARD: 2.0,
    Phase.DECODE: 0.1,
    Phase.FORWARD_COLD: 1.3,
    Phase.TRAIN_STEP: 3.3,
}


@dataclass(frozen=True)
class Noise:
    """Relative standard deviations, and how much is measured."""

    rounds: float = 0.003
    processes: float = 0.001
    count: int = 3
    length: int = 20
    samples: int = 1


def timing(seconds: float, noise: Noise, generator: np.random.Generator) -> Timing:
    """Draw log-normal samples around a time."""
    processes = []
    for process in range(noise.count):
        offset = generator.normal(0, noise.processes)
        spread = generator.normal(offset, noise.rounds, (noise.length, noise.samples))
        rounds = (seconds * np.exp(spread) * 1e9).astype(int) + 1
        processes.append(
            Samples(
                process,
                1,
                tuple(map(tuple, rounds.tolist())),
                disturbed=(0,) if process == 0 else (),
                stop="precise" if process else "budget",
            )
        )
    return Timing("perf_counter_ns", tuple(processes))


def workload(
    name: str,
    density: float,
    *,
    group: str = "",
    position: float | None = None,
    suite: str = "made",
    axis: str = "density",
) -> WorkloadRecord:
    """A 2D layer with that density."""
    return WorkloadRecord(
        name=name,
        version="0123456789ab",
        suite=suite,
        group=group,
        position=density if position is None else position,
        batch_size=1,
        grid_size=(96, 96),
        channels=32,
        output_channels=32,
        sites=max(1, int(96 * 96 * density)),
        density=density,
        output_sites=max(1, int(96 * 96 * density)),
        neighbours=9 * density,
        definition={"kind": "made up"},
        axis=axis,
    )


def implementation(name: str, *, starts_dense: bool = False, unavailable: str = ""):
    """A record with the usual ledger."""
    regions = TIMED_REGION | (TIMED_REGION_FROM_DENSE if starts_dense else {})
    return ImplementationRecord(
        name=name,
        version="1.0",
        origin="tests",
        starts_dense=starts_dense,
        unavailable=unavailable,
        ledger={str(phase): text for phase, text in regions.items()},
    )


def cell(
    record: WorkloadRecord,
    name: str,
    phase: Phase,
    *,
    timed: Timing | None = None,
    status: Status = Status.UNSUPPORTED,
    reason: str = "no kernel for this",
    dtype: str = "float32",
    device: str = "cpu",
) -> Cell:
    """A cell that is ok where a timing is given."""
    multiply_adds = 0 if phase in {Phase.ENCODE, Phase.MAP, Phase.DECODE} else record.sites * 9216
    return Cell(
        workload=record.name,
        workload_version=record.version,
        implementation=name,
        implementation_version="1.0",
        phase=phase,
        dtype=dtype,
        device=device,
        status=Status.OK if timed else status,
        reason="" if timed else reason,
        verified="dense" if timed else "",
        work=Work(multiply_adds, 96 * 96 * 9216, record.sites * 512 + 36864) if timed else None,
        timing=timed,
    )


def header(names: Sequence[str], planned: Sequence[str], phases: Sequence[Phase]) -> Header:
    """A header for a run of these implementations and workloads."""
    return Header(
        id="0000-made-up",
        started="2024-05-01T10:00:00+00:00",
        command=("sparsebench", "run", "made", "--seconds", "1"),
        commit="0123456789ab",
        suites=("made",),
        machine=Machine(
            "Made-up processor, 2 processors, 2 threads",
            {"processor": "Made-up processor", "memory": "7.7 GiB", "system": "Linux"},
            (Rate("cpu", "float32", 50e9, 10e9),),
            ("frequency governor 'powersave': the clock may change while measuring",),
        ),
        settings=Settings(1.0, 0.005, 3, 2, 0, 60.0, tuple(phases)),
        implementations=tuple(implementation(name, starts_dense=name == "dense") for name in names),
        planned=tuple(planned),
    )


Times = Callable[[str, WorkloadRecord], float | None]


def usual_times(name: str, record: WorkloadRecord) -> float | None:
    """gather crosses dense at 38 % density, masked never; brute is refused everywhere."""
    match name:
        case "dense":
            return DENSE_SECONDS
        case "gather":
            return DENSE_SECONDS * record.density / 0.38
        case "masked":
            return 1.2 * DENSE_SECONDS
        case _:
            return None


def make_run(
    records: Sequence[WorkloadRecord],
    names: Sequence[str] = ("dense", "gather", "masked"),
    *,
    times: Times = usual_times,
    phases: Sequence[Phase] = HEADLINE,
    noise: Noise = Noise(),
    seed: int = 1,
) -> Run:
    """A finished run with these times: warm ones by `times`, other phases in proportion."""
    generator = np.random.default_rng(seed)
    units = []
    for record in records:
        cells = []
        for name in names:
            seconds = times(name, record)
            for phase in phases:
                timed = None
                if seconds is not None:
                    timed = timing(seconds * PHASE_FACTOR[phase], noise, generator)
                cells.append(cell(record, name, phase, timed=timed))
        units.append(Unit(record, tuple(cells), {"measuring": 3.0, "checking": 1.0}))
    own = header(names, [record.name for record in records], phases)
    own = replace(own, settings=replace(own.settings, processes=noise.count))
    return Run(own, tuple(units), finished="2024-05-01T10:05:00+00:00")


def density_group(group: str = "2d-submanifold-k3-c32-grid96-uniform") -> list[WorkloadRecord]:
    """Nine workloads that differ in density."""
    densities = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
    return [workload(f"{group}-{density:g}", density, group=group) for density in densities]


def size_group(
    sizes: Sequence[float] = (24, 48, 96, 192), group: str = "strokes", axis: str = "grid size"
) -> list[WorkloadRecord]:
    """Workloads that differ in a size."""
    return [
        workload(f"{group}-{size:g}", 0.1, group=group, position=size, axis=axis) for size in sizes
    ]


def empty() -> Run:
    """A run of nothing."""
    return replace(make_run([]), header=header((), (), ()))


def only_failures() -> Run:
    """A run without a time."""
    return make_run(density_group()[:2], times=lambda _name, _record: None)


def wrong_at_last(run: Run, name: str, phase: Phase) -> Run:
    """The same run, in which an implementation's result at the last workload was wrong."""
    last = run.units[-1]
    cells = tuple(
        replace(each, status=Status.INCORRECT, reason="off by one", timing=None)
        if (each.implementation, each.phase) == (name, phase)
        else each
        for each in last.cells
    )
    return replace(run, units=(*run.units[:-1], replace(last, cells=cells)))


def renamed(run: Run, old: str, new: str) -> Run:
    """The same run with one implementation called otherwise."""
    units = tuple(
        replace(
            unit,
            cells=tuple(
                replace(found, implementation=new) if found.implementation == old else found
                for found in unit.cells
            ),
        )
        for unit in run.units
    )
    records = tuple(
        replace(record, name=new) if record.name == old else record
        for record in run.header.implementations
    )
    return replace(run, units=units, header=replace(run.header, implementations=records))


def at_commits(run: Run, commits: Mapping[str, str]) -> Run:
    """The same run, implementations lying in repositories of their own at these commits, by name."""
    records = tuple(
        replace(record, commit=commits.get(record.name, ""))
        for record in run.header.implementations
    )
    return replace(run, header=replace(run.header, implementations=records))


def at_versions(run: Run, versions: Mapping[str, str]) -> Run:
    """The same run, implementations being of these versions, by name."""
    records = tuple(
        replace(record, version=versions.get(record.name, record.version))
        for record in run.header.implementations
    )
    return replace(run, header=replace(run.header, implementations=records))


def with_machine(run: Run, **fields: object) -> Run:
    """The same run on a machine of which this is told otherwise."""
    machine = replace(run.header.machine, **fields)
    return replace(run, header=replace(run.header, machine=machine))
