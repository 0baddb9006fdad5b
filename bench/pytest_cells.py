"""What stands behind the items of `pytest --benchmark`: a suite's session and its cells."""

from __future__ import annotations

import math
import statistics
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bench.cli.output import say
from bench.cli.run import PRECISION, TIMEOUT, make_plan
from bench.dtypes import products_in, torch_dtype
from bench.errors import MissingDataError, UserError
from bench.exclusive import exclusive, resources
from bench.implementation import why_unmeasured
from bench.measure.candidate import Candidate, Problem
from bench.measure.engine import Engine, templates_for
from bench.measure.failures import status_of, why_not_run
from bench.measure.posing import pose
from bench.plugins.implementations import load
from bench.results.schema import Cell, Header, Run, Status, Unit
from bench.results.store import Journal, merge
from bench.time_of_day import now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.implementation import Implementation
    from bench.measure.processes import Templates
    from bench.phases import Phase
    from bench.workload import Workload

Verdict = tuple[Status, str]
OTHER_TIMES = (
    "pytest-benchmark did not take the times that were measured: another plug-in or a conftest.py "
    "gives this test a `benchmark` marker with a timer, or a fixture of that name"
)
WAIT = "--sparsebench-wait"
NOT_RUN = {Status.UNSUPPORTED, Status.UNAVAILABLE}


class ReplayClock:
    """A clock for pytest-benchmark that only moves when a measured sample is replayed."""

    __name__ = "sparsebench_replay"

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Read the clock."""
        return self.now


@dataclass(frozen=True)
class CellUnderTest:
    """One item: a workload, an implementation, a phase and an element type."""

    session: SuiteSession
    workload: Workload
    implementation: str
    phase: Phase
    dtype: str
    clock: ReplayClock = field(default_factory=ReplayClock)

    @property
    def id(self) -> str:
        """The item's name between brackets."""
        return f"{self.workload.name}-{self.phase}-{self.dtype}-{self.implementation}"

    @property
    def group(self) -> str:
        """What pytest-benchmark shows in one table: the rivals."""
        suite = f"{self.session.plan.suite.name} " if self.session.has_company else ""
        return f"{suite}{self.workload.name} {self.phase} {self.dtype}"

    def run(self, request: pytest.FixtureRequest) -> None:
        """Replay the measured samples, or without `--benchmark` check the cell once."""
        if self.session.measures:
            self._replay(self.session.measured(self), request)
        else:
            self.session.check(self)

    def _replay(self, cell: Cell, request: pytest.FixtureRequest) -> None:
        _skip_or_fail(cell.status, cell.reason)
        if cell.timing is None:
            raise AssertionError("a cell with status ok has a timing")
        samples = [
            duration / process.calls * 1e-9
            for process in cell.timing.processes
            for durations in process.rounds
            for duration in durations
        ]
        remaining = iter(samples)

        def step() -> None:
            self.clock.now += next(remaining)

        benchmark: Any = request.getfixturevalue("benchmark")
        benchmark.cprofile = None  # of a replay there is nothing to be seen
        benchmark.extra_info.update(
            {
                "suite": self.session.plan.suite.name,
                "workload": cell.workload,
                "group": self.workload.group,
                "position": self.workload.position,
                "implementation": cell.implementation,
                "implementation_version": cell.implementation_version,
                "workload_version": cell.workload_version,
                "phase": str(cell.phase),
                "dtype": cell.dtype,
                "device": cell.device,
                "timer": cell.timing.timer,
                "verified": cell.verified,
                "processes": len(cell.timing.processes),
                "median": statistics.median(samples),
            }
        )
        benchmark.pedantic(step, rounds=len(samples), iterations=1, warmup_rounds=0)
        if not _holds(benchmark, samples):
            benchmark.has_error = True  # or its table and JSON would show them
            pytest.fail(OTHER_TIMES, pytrace=False)


def _holds(benchmark: Any, samples: Sequence[float]) -> bool:  # noqa: ANN401
    """Whether pytest-benchmark's statistics are of these samples, in seconds."""
    kept = [] if benchmark.stats is None else benchmark.stats.stats.data
    return len(kept) == len(samples) and all(map(_is_same, kept, samples))


def _is_same(one: float, other: float) -> bool:
    """Whether two durations in seconds differ by no more than the replaying clock's rounding."""
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12)


class RunFile:
    """The run file of a pytest session, whose suites share it; kept in a journal until it ends.

    Args:
        target: the run file.

    Raises:
        UserError: if it exists, or a journal of it does.
    """

    def __init__(self, target: Path) -> None:
        self.journal = Journal(target)
        self.journal.check()
        self._is_begun = False

    def begin(self, header: Header) -> None:
        """Start the journal, of which one suite's header is told; the run file will have them all.

        Raises:
            UserError: if it cannot be written.
        """
        if not self._is_begun:
            self.journal.begin(header)
            self._is_begun = True

    def finish(self, runs: Sequence[Run]) -> None:
        """Write what the suites measured.

        Raises:
            UserError: if it cannot be written; the journal stays, and the message names it.
        """
        if not any(run.units for run in runs):
            if self._is_begun:
                self.journal.drop_if_empty()
            return
        try:
            self.journal.finish(merge(list(runs)))
        except UserError as error:
            raise UserError(f"{error}; {self.journal.path} has what was measured") from error


class SuiteSession:
    """One suite in one pytest session: its plan, and what was measured or expected so far.

    Attributes:
        measures: whether cells are measured; else they are checked.
        has_company: whether there is another suite in the session.
        plan: what is selected of the suite.
        header: of the run, once it has begun.

    Args:
        name: of the suite, or its file.
        config: pytest's, with our options.
        run_file: that what is measured goes to.
        measures: see above.
        impl: implementations, where no option names any.
    """

    def __init__(
        self,
        name: str,
        config: pytest.Config,
        run_file: RunFile | None,
        *,
        measures: bool,
        impl: str | None = None,
    ) -> None:
        option: Callable[[str], Any] = lambda key: config.getoption(f"sparsebench_{key}")  # noqa: E731
        self.measures = measures
        self.has_company = False
        keys = ("impl", "seconds", "processes", "threads", "phase", "workload", "dtype")
        asked = Namespace(suite=name, precision=PRECISION, timeout=TIMEOUT, seed=0)
        vars(asked).update({key: option(key) for key in keys})
        asked.impl = asked.impl or impl
        self.plan = make_plan(asked, option("device"))
        self._run_file = run_file
        self._command = ("pytest", *map(str, config.invocation_params.args))
        self.header: Header | None = None
        self._waits = bool(option("wait"))
        self._refusal = ""
        self._engine: Engine | None = None
        self._templates: Templates | None = None
        self._held = ExitStack()
        self._units: dict[str, Unit] = {}
        self._checked: dict[tuple[str, str, str], tuple[Verdict | None, Verdict | None]] = {}
        self._posed: tuple[tuple[str, str], Problem] | None = None

    def cells(self) -> list[CellUnderTest]:
        """Every item, a workload's items in a row."""
        return [
            CellUnderTest(self, workload, reference.name, phase, dtype)
            for workload in self.plan.workloads
            for dtype in self.plan.dtypes
            for phase in self.plan.settings.phases
            for reference in self.plan.implementations
        ]

    def keep(self, cells: Sequence[CellUnderTest]) -> None:
        """Plan no more than what these cells need: whatever is in one of them."""
        names = {cell.implementation for cell in cells}
        workloads = {cell.workload.name for cell in cells}
        dtypes, phases = {cell.dtype for cell in cells}, {cell.phase for cell in cells}
        chosen = tuple(each for each in self.plan.settings.phases if each in phases)
        self.plan = replace(
            self.plan,
            workloads=tuple(each for each in self.plan.workloads if each.name in workloads),
            implementations=tuple(each for each in self.plan.implementations if each.name in names),
            dtypes=tuple(each for each in self.plan.dtypes if each in dtypes),
            settings=replace(self.plan.settings, phases=chosen),
        )

    def measured(self, item: CellUnderTest) -> Cell:
        """Return an item's cell, measuring its whole workload if that was not done yet.

        An item for which that is not possible fails, in one line.
        """
        try:
            engine = self._engine or self._begin()
            if item.workload.name not in self._units:
                unit = engine.measure(item.workload)
                self._units[item.workload.name] = unit
                if self._run_file is not None:
                    self._run_file.journal.add(unit)
        except UserError as error:
            raise pytest.fail.Exception(f"sparsebench: error: {error}", pytrace=False) from None
        key = (item.workload.name, item.implementation, item.phase, item.dtype, self.plan.device)
        return next(cell for cell in self._units[item.workload.name].cells if cell.key == key)

    def _begin(self) -> Engine:
        """Start workers and look at the machine; what prevents that is told to all other items, too.

        Raises:
            UserError: if another run measures, or workers cannot start.
        """
        if self._refusal:
            raise UserError(self._refusal)
        try:
            names = resources(self.plan.device)
            self._held.enter_context(exclusive(names, wait=self._waits, tell=say, option=WAIT))
            self._templates = templates_for(self.plan)
            engine = Engine(self.plan, self._templates)
            header = replace(engine.header(), command=self._command)
            if self._run_file is not None:
                self._run_file.begin(header)
            self.header = header
        except UserError as error:
            self._refusal = str(error)
            raise
        self._engine = engine
        return engine

    def check(self, item: CellUnderTest) -> None:
        """Check an item's outputs, and its gradients where its phase has any, once."""
        reference = next(r for r in self.plan.implementations if r.name == item.implementation)
        implementation = load(reference)
        verdict = _verdict_of(lambda: self._why_not_run(implementation, item))
        if verdict is None:
            outputs, gradients = self._verdicts(implementation, item)
            verdict = outputs or (gradients if item.phase.needs_gradients else None)
        if verdict is not None:
            _skip_or_fail(*verdict)

    def _why_not_run(self, implementation: Implementation, item: CellUnderTest) -> Verdict | None:
        device, dtype = torch.device(self.plan.device), torch_dtype(item.dtype)
        network = item.workload.network
        refusal = why_not_run(implementation, network, dtype, device)
        if refusal is not None:
            return refusal
        reason = why_unmeasured(implementation, item.phase, network)
        return None if reason is None else (Status.UNSUPPORTED, reason)

    def _verdicts(
        self, implementation: Implementation, item: CellUnderTest
    ) -> tuple[Verdict | None, Verdict | None]:
        """What is wrong with outputs and with gradients; found once for all phases."""
        key = (item.workload.name, item.dtype, item.implementation)
        if key not in self._checked:
            problem = self._pose(item.workload, item.dtype)
            candidates: list[Candidate] = []

            def verify_outputs() -> None:
                candidate = Candidate(implementation, problem)
                candidates.append(candidate)
                candidate.verify_outputs()

            with products_in(item.dtype):
                outputs = _verdict_of(verify_outputs)
                gradients = outputs or _verdict_of(candidates[0].verify_gradients)
            self._checked[key] = outputs, gradients
        return self._checked[key]

    def close(self) -> Run | None:
        """End workers; return what was measured, if anything was."""
        if self._templates is not None:
            self._templates.close()
        self._held.close()
        if self.header is None:
            return None
        units = tuple(self._units.values())
        is_whole = len(units) == len(self.header.planned)
        return Run(self.header, units, finished=now() if is_whole else "")

    def _pose(self, workload: Workload, dtype_name: str) -> Problem:
        """Have the oracle solve a workload, once for all of its items, which follow each other."""
        key = (workload.name, dtype_name)
        if self._posed is None or self._posed[0] != key:
            try:
                problem = pose(workload, dtype_name, torch.device(self.plan.device))
            except MissingDataError as error:
                pytest.skip(str(error))
            except UserError as error:
                why = f"workload {workload.name!r}: {error}"
                pytest.fail(f"sparsebench: error: {why}", pytrace=False)
            self._posed = (key, problem)
        return self._posed[1]


def _verdict_of(work: Callable[[], Verdict | None]) -> Verdict | None:
    """What some of a plug-in's code says is wrong, or what it raises; None where all is well."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; the test fails of it
        return status_of(error)


def _skip_or_fail(status: Status, reason: str) -> None:
    if status in NOT_RUN:
        pytest.skip(f"{status}: {reason}")
    if status is not Status.OK:
        pytest.fail(f"{status}: {reason}", pytrace=False)
