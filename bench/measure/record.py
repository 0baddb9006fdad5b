"""What becomes of one workload: events of its workers in, cells out."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bench.measure.contestant import ALIKE
from bench.measure.description import undescribed
from bench.measure.messages import Checked, Described, Done, Failed, Measured, PhaseDone, Task
from bench.measure.plan import Plan
from bench.measure.processes import Templates, WorkerLostError
from bench.phases import Phase
from bench.plugins.implementations import load
from bench.plugins.installed import Reference
from bench.results.schema import (
    Cell,
    Samples,
    Status,
    Timing,
    Unit,
    Work,
)
from bench.workload import Workload


class TurnsAt(NamedTuple):
    """Socket of a turnstile, a worker's name there, and the processors that all there keep to."""

    socket: str
    side: str
    processors: tuple[int, ...] = ()


@dataclass
class Record:
    """What is known so far of one workload in one element type.

    Attributes:
        set_aside: implementations that are not measured any more, and why.
        left_out: implementations and phases that have no cell.
        versions: of implementations, where they cannot be loaded here.
        described: what the workload turned out to be, as soon as a worker has said so.
        verified: how the oracle checked an implementation, by its name.
        failures: why there is no time, by implementation and phase.
        measured: what workers told, in the order in which they did, by implementation and phase.
        seconds: of all workers, by what they were spent on.
        agreed_ns: durations of a call that this record and another have agreed on.
    """

    plan: Plan
    workload: Workload
    dtype: str
    set_aside: dict[str, str] = field(default_factory=dict)
    left_out: frozenset[tuple[str, Phase]] = frozenset()
    versions: dict[str, str] = field(default_factory=dict)
    described: Described | None = None
    verified: dict[str, str] = field(default_factory=dict)
    failures: dict[tuple[str, Phase], tuple[Status, str]] = field(default_factory=dict)
    measured: dict[tuple[str, Phase], list[Measured]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    agreed_ns: dict[tuple[str, Phase], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, reason in self.set_aside.items():
            for phase in self.plan.settings.phases:
                self.failures[name, phase] = (Status.ERROR, reason)

    def measure(self, templates: Templates, process: int, turns: TurnsAt | None = None) -> None:
        """Measure in one process; start another for those who are left when one dies.

        Args:
            templates: what the process is forked from.
            process: its number.
            turns: the turnstile where it takes turns with others.
        """
        phases = list(self.plan.settings.phases)
        implementations = [
            reference
            for reference in self.plan.implementations
            if len(self._unmeasured(reference.name)) < len(phases)
        ]
        while phases and implementations:
            task = self._task(templates, process, implementations, phases, turns)
            try:
                for event in templates.run(process, task, self.plan.settings.timeout):
                    self.hear(event)
                    if isinstance(event, PhaseDone):
                        phases.remove(event.phase)
            except WorkerLostError as lost:
                if lost.with_template:
                    continue
                if not 0 <= lost.implementation < len(implementations):
                    self._blame_all(implementations, phases, lost)
                    return
                culprit = implementations.pop(lost.implementation)
                self._blame(culprit, lost)
            else:
                return

    def cells(self) -> Iterator[Cell]:
        """One cell for each implementation and phase."""
        versions = self.versions or {
            ref.name: str(load(ref).version) for ref in self.plan.implementations
        }
        for reference in self.plan.implementations:
            for phase in self.plan.settings.phases:
                if (reference.name, phase) not in self.left_out:
                    yield self._cell(reference.name, versions[reference.name], phase)

    def _unmeasured(self, name: str) -> tuple[Phase, ...]:
        """Phases in which an implementation is not to be measured, or not any more."""
        return tuple(
            phase
            for phase in self.plan.settings.phases
            if (name, phase) in self.failures or (name, phase) in self.left_out
        )

    def _task(
        self,
        templates: Templates,
        process: int,
        implementations: list[Reference],
        phases: list[Phase],
        turns: TurnsAt | None,
    ) -> Task:
        settings = self.plan.settings
        return Task(
            suite=self.plan.suite.source,
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
            known_ns=self._known_durations(),
            is_described=self.described is not None,
            turnstile=turns.socket if turns else "",
            side=turns.side if turns else "",
            processors=turns.processors if turns else (),
            expectation=templates.expectation_path if settings.processes > 1 else "",
            verified=tuple(self.verified),
            left_out={each.name: self._unmeasured(each.name) for each in implementations},
        )

    def _known_durations(self) -> dict[str, dict[Phase, int]]:
        """Durations of a call, as the first process found them."""
        known: dict[str, dict[Phase, int]] = {}
        for (name, phase), events in self.measured.items():
            first = _samples(events)[0]
            durations = sorted(duration for durations in first.rounds for duration in durations)
            nanoseconds = durations[len(durations) // 2] / first.calls
            agreed = self.agreed_ns.get((name, phase), round(nanoseconds))
            known.setdefault(name, {})[phase] = max(1, agreed)
        return known

    def agree_with(self, other: "Record") -> None:
        """Have calls that last about as long in both get equal numbers of calls, in either."""
        mine, others = self._known_durations(), other._known_durations()  # noqa: SLF001
        for name, phases in mine.items():
            for phase, nanoseconds in phases.items():
                its = others.get(name, {}).get(phase)
                if its is not None and max(its, nanoseconds) < ALIKE * min(its, nanoseconds):
                    both = max(its, nanoseconds)
                    self.agreed_ns[name, phase] = other.agreed_ns[name, phase] = both

    def hear(self, event: object) -> None:
        """Take in what a worker tells."""
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
                self.measured.setdefault((event.implementation, event.phase), []).append(event)
            case Done():
                for what, seconds in event.seconds.items():
                    self.seconds[what] = self.seconds.get(what, 0.0) + seconds

    def _blame(self, culprit: Reference, lost: WorkerLostError) -> None:
        phase = f" in {tuple(Phase)[lost.phase]}" if lost.phase >= 0 else " while being checked"
        status = Status.TIMEOUT if lost.silent else Status.ERROR
        for each in self.plan.settings.phases:
            self.failures.setdefault((culprit.name, each), (status, f"{lost}{phase}"))

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
        if key in self.measured:
            events = self.measured[key]
            return replace(
                cell,
                status=Status.OK,
                reason="",
                verified=self.verified[name],
                peak_bytes=max(
                    (e.peak_bytes for e in events if e.peak_bytes is not None), default=None
                ),
                timing=Timing(events[-1].timer, _samples(events)),
                layers=events[0].layers,
                parts=events[0].parts,
                instructions=events[0].instructions,
            )
        return cell

    def _work(self, phase: Phase) -> Work | None:
        return None if self.described is None else self.described.work[phase]


def _samples(events: list[Measured]) -> tuple[Samples, ...]:
    """Of each process, in the order of their first; the last, where one had to measure again."""
    return tuple({event.samples.process: event.samples for event in events}.values())


def unit_of(records: list[Record], wall_seconds: float) -> Unit:
    """Join a workload's records, one for each element type, to what is written in one go."""
    described = next((r.described for r in records if r.described is not None), None)
    workload = records[0].workload
    seconds: dict[str, float] = {"wall": wall_seconds}
    for record in records:
        for what, spent in record.seconds.items():
            seconds[what] = seconds.get(what, 0.0) + spent
    description = (
        described.record
        if described is not None
        else undescribed(records[0].plan.suite.name, workload)
    )
    return Unit(description, tuple(cell for record in records for cell in record.cells()), seconds)
