"""The engine: plans a run, has workers measure it unit by unit, and keeps what they say."""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import torch

from bench.dtypes import torch_dtype
from bench.errors import UserError
from bench.implementation import ledger
from bench.machine import commit, describe_machine
from bench.measure.messages import (
    Checked,
    Described,
    Done,
    Failed,
    Measured,
    PhaseDone,
    Rates,
    RateTask,
    Task,
)
from bench.measure.processes import Templates, WorkerLostError
from bench.phases import Phase
from bench.registry import Broken, Reference, load, suites
from bench.results.schema import (
    Cell,
    Header,
    ImplementationRecord,
    Machine,
    Run,
    Samples,
    Settings,
    Status,
    Timing,
    Unit,
    Work,
    WorkloadRecord,
)
from bench.results.store import Journal
from bench.workload import Suite, Workload

RATE_TIMEOUT = 120.0
PRELOADED = ("torch.fx.experimental.symbolic_shapes",)
"""What torch imports at the first gradient, for half a second: done once, before workers fork."""


@dataclass(frozen=True)
class Plan:
    """What a run is to measure."""

    suite: Suite
    workloads: tuple[Workload, ...]
    implementations: tuple[Reference, ...]
    broken: tuple[Broken, ...]
    dtypes: tuple[str, ...]
    device: str
    settings: Settings

    def __post_init__(self) -> None:
        if not self.workloads:
            raise UserError(f"no workload of suite {self.suite.name!r} matches")
        if not self.implementations:
            raise UserError("no implementation to measure")
        for name in self.dtypes:
            torch_dtype(name)
        check_device(self.device)


@dataclass(frozen=True)
class Progress:
    """How far a run has come, told after every worker process."""

    done: int
    total: int
    workload: str
    dtype: str
    process: int


def check_device(name: str) -> torch.device:
    """Return torch's device of a name.

    Raises:
        UserError: if it is unknown or not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device {name!r}; known are cpu and cuda") from None
    if device.type not in {"cpu", "cuda"}:
        raise UserError(f"device {name!r} is not measured; known are cpu and cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch {torch.__version__} finds no CUDA device")
    return device


class Engine:
    """Measures a plan's workloads one at a time, in worker processes that end with it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        modules = (*PRELOADED, suites()[plan.suite.name].module)
        self.templates = Templates(plan.settings.processes, plan.settings.threads, modules)

    def close(self) -> None:
        """End the worker processes."""
        self.templates.close()

    def header(self) -> Header:
        """Describe the run that begins, and measure the machine's limits."""
        return _header(self.plan, _rates(self.plan, self.templates))

    def measure(self, workload: Workload, tell: Callable[[str, int], None] | None = None) -> Unit:
        """Measure one workload in every element type and process.

        Args:
            workload: one of the plan's.
            tell: told the element type and the number of every process that is done.

        Raises:
            UserError: if the workload's data is missing, or a worker refuses for another reason.
        """
        records: list[_Record] = []
        started = time.perf_counter()
        for dtype in self.plan.dtypes:
            record = _Record(self.plan, workload, dtype)
            for process in range(self.plan.settings.processes):
                record.measure(self.templates, process)
                if tell is not None:
                    tell(dtype, process)
            records.append(record)
        return _unit(records, time.perf_counter() - started)


def execute(
    plan: Plan, journal: Journal | None = None, tell: Callable[[Progress], None] | None = None
) -> Run:
    """Measure a plan; every finished unit goes to the journal, the whole run is returned.

    Args:
        plan: what to measure.
        journal: where units are kept as they are finished; an existing one is gone on with.
        tell: told after every worker process.

    Raises:
        UserError: if a workload's data is missing, or a worker refuses for another reason.
    """
    with closing(Engine(plan)) as engine:
        units: list[Unit] = []
        if journal is not None and journal.path.exists():
            earlier = journal.read()
            header = earlier.header
            units.extend(earlier.units)
        else:
            header = engine.header()
            if journal is not None:
                journal.begin(header)
        measured = {unit.workload.name for unit in units}
        steps = len(plan.dtypes) * plan.settings.processes
        finished = len(measured) * steps
        for workload in plan.workloads:
            if workload.name in measured:
                continue

            def advance(dtype: str, process: int, name: str = workload.name) -> None:
                nonlocal finished
                finished += 1
                if tell is not None:
                    tell(Progress(finished, len(plan.workloads) * steps, name, dtype, process))

            unit = engine.measure(workload, advance)
            units.append(unit)
            if journal is not None:
                journal.add(unit)
    return Run(header, tuple(units), finished=_now())


@dataclass
class _Record:
    """What is known so far of one workload in one element type."""

    plan: Plan
    workload: Workload
    dtype: str
    described: Described | None = None
    verified: dict[str, str] = field(default_factory=dict)
    failures: dict[tuple[str, Phase], tuple[Status, str]] = field(default_factory=dict)
    samples: dict[tuple[str, Phase], dict[int, Samples]] = field(default_factory=dict)
    timers: dict[Phase, str] = field(default_factory=dict)
    peaks: dict[tuple[str, Phase], int | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def measure(self, templates: Templates, process: int) -> None:
        """Measure in one process; start another for those who are left when one dies."""
        phases = list(self.plan.settings.phases)
        implementations = [
            reference
            for reference in self.plan.implementations
            if any((reference.name, phase) not in self.failures for phase in phases)
        ]
        while phases and implementations:
            task = self._task(templates, process, implementations, phases)
            try:
                for event in templates.run(process, task, self.plan.settings.timeout):
                    self._hear(event)
                    if isinstance(event, PhaseDone):
                        phases.remove(event.phase)
            except WorkerLostError as lost:
                if not 0 <= lost.implementation < len(implementations):
                    self._blame_all(implementations, phases, lost)
                    return
                culprit = implementations.pop(lost.implementation)
                self._blame(culprit, lost)
            else:
                return

    def cells(self) -> Iterator[Cell]:
        """One cell for each implementation and phase."""
        versions = {ref.name: str(load(ref).version) for ref in self.plan.implementations}
        for reference in self.plan.implementations:
            for phase in self.plan.settings.phases:
                yield self._cell(reference.name, versions[reference.name], phase)

    def _task(
        self,
        templates: Templates,
        process: int,
        implementations: list[Reference],
        phases: list[Phase],
    ) -> Task:
        settings = self.plan.settings
        return Task(
            suite=self.plan.suite.name,
            workload=self.workload.name,
            version=self.workload.version(),
            implementations=tuple(implementations),
            dtype=self.dtype,
            device=self.plan.device,
            phases=tuple(phases),
            process=process,
            seconds=settings.seconds,
            precision=settings.precision,
            threads=settings.threads,
            seed=settings.seed,
            pulse=templates.pulse_path,
            log=str(templates.log),
        )

    def _hear(self, event: object) -> None:
        match event:
            case Described():
                self.described = event
            case Checked():
                self.verified[event.implementation] = event.verified
            case Failed():
                for phase in event.phases:
                    self.failures.setdefault(
                        (event.implementation, phase), (event.status, event.reason)
                    )
            case Measured():
                key = (event.implementation, event.phase)
                self.samples.setdefault(key, {})[event.samples.process] = event.samples
                self.timers[event.phase] = event.timer
                known = [p for p in (self.peaks.get(key), event.peak_bytes) if p is not None]
                self.peaks[key] = max(known, default=None)
            case Done():
                for what, seconds in event.seconds.items():
                    self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def _blame(self, culprit: Reference, lost: WorkerLostError) -> None:
        phase = f" in {tuple(Phase)[lost.phase]}" if lost.phase >= 0 else " while being checked"
        status = Status.TIMEOUT if lost.silent else Status.ERROR
        for each in self.plan.settings.phases:
            self.failures[culprit.name, each] = (status, f"{lost}{phase}")

    def _blame_all(
        self, implementations: list[Reference], phases: list[Phase], lost: WorkerLostError
    ) -> None:
        for reference in implementations:
            for phase in phases:
                self.failures.setdefault(
                    (reference.name, phase),
                    (
                        Status.ERROR,
                        f"{lost}, in the harness, before any implementation was at work",
                    ),
                )

    def _cell(self, name: str, version: str, phase: Phase) -> Cell:
        key = (name, phase)
        cell = Cell(
            workload=self.workload.name,
            workload_version=self.workload.version(),
            implementation=name,
            implementation_version=version,
            phase=phase,
            dtype=self.dtype,
            device=self.plan.device,
            status=Status.ERROR,
            reason="not measured: every process ended before this phase",
            work=self._work(phase),
        )
        if key in self.failures:
            status, reason = self.failures[key]
            return replace(cell, status=status, reason=reason)
        if key in self.samples:
            return replace(
                cell,
                status=Status.OK,
                reason="",
                verified=self.verified[name],
                peak_bytes=self.peaks.get(key),
                timing=Timing(self.timers[phase], tuple(self.samples[key].values())),
            )
        return cell

    def _work(self, phase: Phase) -> Work | None:
        return None if self.described is None else self.described.work[phase]


def _unit(records: list[_Record], wall_seconds: float) -> Unit:
    described = next((r.described for r in records if r.described is not None), None)
    workload = records[0].workload
    seconds: dict[str, float] = {"wall": wall_seconds}
    for record in records:
        for what, spent in record.seconds.items():
            seconds[what] = seconds.get(what, 0.0) + spent
    description = (
        described.record
        if described is not None
        else _unknown(workload, records[0].plan.suite.name)
    )
    return Unit(description, tuple(cell for record in records for cell in record.cells()), seconds)


def _unknown(workload: Workload, suite: str) -> WorkloadRecord:
    """The record of a workload whose input no worker lived to describe."""
    return WorkloadRecord(
        name=workload.name,
        version=workload.version(),
        suite=suite,
        group=workload.group,
        position=workload.position,
        batch_size=0,
        grid_size=(),
        channels=workload.channels,
        output_channels=0,
        sites=0,
        density=0.0,
        output_sites=0,
        neighbours=0.0,
        definition=workload.definition(),
    )


def _rates(plan: Plan, templates: Templates) -> Machine:
    """Describe the machine and measure its limits."""
    machine = describe_machine(torch.device(plan.device), plan.settings.threads)
    order = RateTask(plan.dtypes, plan.device, plan.settings.threads, str(templates.log))
    for event in templates.run(0, order, RATE_TIMEOUT):
        if isinstance(event, Rates):
            machine = replace(machine, rates=event.rates)
    return machine


def _header(plan: Plan, machine: Machine) -> Header:
    device = torch.device(plan.device)
    return Header(
        id=uuid.uuid4().hex[:12],
        started=_now(),
        command=("sparsebench", *sys.argv[1:]),
        commit=commit(),
        suites=(plan.suite.name,),
        machine=machine,
        settings=plan.settings,
        implementations=tuple(
            [_record(reference, device) for reference in plan.implementations]
            + [_broken_record(broken) for broken in plan.broken]
        ),
        planned=tuple(workload.name for workload in plan.workloads),
    )


def _record(reference: Reference, device: torch.device) -> ImplementationRecord:
    implementation = load(reference)
    return ImplementationRecord(
        name=implementation.name,
        version=str(implementation.version),
        origin=implementation.origin or reference.source,
        starts_dense=implementation.starts_dense,
        unavailable=implementation.unavailable(device) or "",
        ledger=ledger(implementation),
    )


def _broken_record(broken: Broken) -> ImplementationRecord:
    return ImplementationRecord(broken.name, "", broken.source, False, broken.error, {})  # noqa: FBT003


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
