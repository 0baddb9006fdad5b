"""The engine: has workers measure a plan unit by unit, and keeps what comes of it."""

import shlex
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import torch

from bench.commits import moved, own_commit
from bench.errors import UserError
from bench.gpu import conditions, watched
from bench.machine import busy_seconds, describe_machine
from bench.measure.header import commits_of_plan, header_of, look_around
from bench.measure.plan import Plan
from bench.measure.processes import Templates
from bench.measure.record import Record, unit_of
from bench.plugins.implementations import load
from bench.results.schema import (
    OTHERS,
    WRONG,
    Header,
    Run,
    Status,
    Unit,
)
from bench.results.store import Journal
from bench.time_of_day import now
from bench.workload import Workload

PATIENCE = 3
"""Workloads in a row that an implementation may fail before it is set aside."""


class Engine:
    """Measures a plan's workloads one at a time, in worker processes forked from templates."""

    def __init__(self, plan: Plan, templates: Templates) -> None:
        self.plan = plan
        self.templates = templates
        self._set_aside: dict[str, str] = {}
        self._failures: dict[str, int] = {}

    def header(self) -> Header:
        """Describe the run that begins, and measure the machine's limits."""
        place = look_around(self.plan, self.templates)
        for name in place.fatal:
            self._set_aside[name] = f"set aside: {place.unavailable[name]}"
        return header_of(self.plan, place)

    def measure(self, workload: Workload, tell: Callable[[str], None] | None = None) -> Unit:
        """Measure one workload in every element type and process.

        Args:
            workload: one of the plan's.
            tell: told the element type after every process.

        Raises:
            UserError: if the workload's data is missing, or a worker refuses for another reason.
        """
        records: list[Record] = []
        started = time.perf_counter()
        busy = busy_seconds() - time.process_time()
        with watched(torch.device(self.plan.device)) as looks:
            for dtype in self.plan.dtypes:
                record = Record(self.plan, workload, dtype, self._set_aside)
                for process in range(self.plan.settings.processes):
                    record.measure(self.templates, process)
                    if tell is not None:
                        tell(dtype)
                records.append(record)
        unit = unit_of(records, time.perf_counter() - started)
        others = busy_seconds() - time.process_time() - busy - unit.seconds.get("processors", 0.0)
        seconds = unit.seconds | {OTHERS: max(0.0, others)}
        unit = replace(unit, seconds=seconds, gpu=conditions(looks))
        self.judge(unit)
        return unit

    def judge(self, unit: Unit) -> None:
        """Set aside who failed several workloads in a row: the rest would only cost time."""
        for reference in self.plan.implementations:
            own = [cell for cell in unit.cells if cell.implementation == reference.name]
            failed = [cell for cell in own if cell.status in WRONG]
            if any(cell.status is Status.OK for cell in own):
                self._failures[reference.name] = 0
            elif failed and reference.name not in self._set_aside:
                self._failures[reference.name] = self._failures.get(reference.name, 0) + 1
                if self._failures[reference.name] == PATIENCE:
                    self._set_aside[reference.name] = (
                        f"set aside after {PATIENCE} workloads in a row without a result; the last: "
                        f"{failed[-1].status}, {failed[-1].reason}"
                    )


def templates_for(plan: Plan) -> Templates:
    """Start what a plan's workers are forked from."""
    return Templates(plan.suite.source, plan.settings.threads, plan.settings.processes)


def execute(
    plan: Plan,
    journal: Journal | None = None,
    tell: Callable[[int, int, str], None] | None = None,
    templates: Templates | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Run:
    """Measure a plan; every finished unit goes to the journal, the whole run is returned.

    Args:
        plan: what to measure.
        journal: where units are kept as they are finished; an existing one is gone on with.
        tell: told after every worker process how many are done, of how many, and what was measured.
        templates: started before for the plan's suite and threads; by default started here.
        is_interrupted: asked after every workload; a run that is has no time at which it finished.

    Raises:
        UserError: if a workload's data is missing, or a worker refuses for another reason.
    """
    if templates is None:
        with closing(templates_for(plan)) as own:
            return execute(plan, journal, tell, own, is_interrupted)
    engine = Engine(plan, templates)
    header, units = _begin(engine, journal)
    measured = {unit.workload.name for unit in units}
    steps = len(plan.dtypes) * plan.settings.processes
    finished = len(measured) * steps
    for workload in plan.workloads:
        if workload.name in measured:
            continue

        def advance(dtype: str, name: str = workload.name) -> None:
            nonlocal finished
            finished += 1
            if tell is not None:
                tell(finished, len(plan.workloads) * steps, f"{name} {dtype}")

        unit = engine.measure(workload, advance)
        units.append(unit)
        if journal is not None:
            journal.add(unit)
        if is_interrupted() and len(units) < len(plan.workloads):
            return Run(header, tuple(units))
    return Run(header, tuple(units), finished=now())


def _begin(engine: Engine, journal: Journal | None) -> tuple[Header, list[Unit]]:
    """Header and finished units of the run that is gone on with, or of a new one, which has none."""
    if journal is not None and journal.path.exists():
        earlier = journal.read()
        _check_resumable(engine.plan, earlier)
        for unit in earlier.units:
            engine.judge(unit)
        return earlier.header, list(earlier.units)
    header = engine.header()
    if journal is not None:
        journal.begin(header)
    return header, []


def differing_choices(plan: Plan, earlier: Run) -> list[str]:
    """What was chosen otherwise for an earlier run, in words."""
    header = earlier.header
    recorded = [each.name for each in header.implementations if each.ledger]
    dtypes = {cell.dtype for cell in earlier.cells}
    devices = {cell.device for cell in earlier.cells}
    differences = {
        "suite": header.suites != (plan.suite.name,),
        "settings": header.settings != plan.settings,
        "implementations": recorded != [each.name for each in plan.implementations],
        "choice of workloads": header.planned != tuple(each.name for each in plan.workloads),
        "element types": bool(dtypes) and dtypes != set(plan.dtypes),
        "device": bool(devices) and devices != {plan.device},
    }
    return [what for what, differs in differences.items() if differs]


def _check_resumable(plan: Plan, earlier: Run) -> None:
    """Refuse to go on with a run that was planned otherwise: its cells would not be comparable.

    Raises:
        UserError: naming what differs.
    """
    header = earlier.header
    versions = {workload.name: workload.version() for workload in plan.workloads}
    recorded = {each.name: each.version for each in header.implementations}
    loaded = [load(reference) for reference in plan.implementations]
    machine = describe_machine(torch.device(plan.device), plan.settings.threads)
    implementations, of_suite = commits_of_plan(plan)
    suites = {f"suite {name}": at for name, at in of_suite.items()}
    elsewhere = moved(header.all_commits, implementations | suites)
    differences = {
        "implementations' versions": any(
            recorded.get(each.name, str(each.version)) != str(each.version) for each in loaded
        ),
        "commit": header.commit != own_commit(),
        "plug-ins' commits": bool(elsewhere),
        "machine": header.machine.name != machine.name,
        "libraries": header.machine.facts.get("libraries") != machine.facts["libraries"],
        "workloads": any(
            versions.get(unit.workload.name) != unit.workload.version for unit in earlier.units
        ),
    }
    differing = differing_choices(plan, earlier)
    differing += [what for what, differs in differences.items() if differs]
    if differing:
        places = [f"{name} at {at}" for name, at in elsewhere.items()]
        begun = ", ".join([header.commit or "no commit", *places])
        raise UserError(
            f"the unfinished run {header.id} differs in its {', '.join(differing)}: it was begun at "
            f"{begun} with `{shlex.join(header.command)}`, to which "
            f"--resume PATH.partial is to be added"
        )
