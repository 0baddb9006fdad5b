"""What is known of a run before it is measured: the machine, its limits, and who can run there."""

import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from bench.commits import commits_of, own_commit
from bench.errors import UserError, writable
from bench.implementation import ledger
from bench.machine import describe_machine
from bench.measure.messages import Preparation, Rates, RateTask, Surroundings
from bench.measure.plan import Plan
from bench.measure.processes import Templates, WorkerLostError
from bench.plugins.implementations import load, source_of
from bench.plugins.installed import Broken, Reference
from bench.results.schema import Header, ImplementationRecord, Machine
from bench.time_of_day import now

RATE_TIMEOUT = 120.0


class Place(NamedTuple):
    """Where a run takes place.

    Attributes:
        machine: with its limits.
        unavailable: why implementations cannot run there, by name.
        fatal: names of those that ended the process that asked them.
    """

    machine: Machine
    unavailable: dict[str, str]
    fatal: tuple[str, ...]


def look_around(plan: Plan, templates: Templates) -> Place:
    """Describe the machine, once our own processes are quiet, measure its limits, ask who can run here.

    Args:
        plan: names the implementations.
        templates: what workers are forked from.

    Raises:
        UserError: if the machine's limits cannot be measured.
    """
    templates.prepare(Preparation(plan.implementations, plan.device))
    templates.wait_until_ready()
    machine = describe_machine(torch.device(plan.device), plan.settings.threads)
    unavailable: dict[str, str] = {}
    fatal: list[str] = []
    implementations = list(plan.implementations)
    while True:
        order = RateTask(
            tuple(implementations),
            () if machine.rates else plan.dtypes,
            plan.device,
            plan.settings.threads,
            templates.pulse_path,
            str(templates.log),
        )
        try:
            for event in templates.run(0, order, RATE_TIMEOUT):
                if isinstance(event, Rates):
                    clock = {"gpu clocks read": event.clock} if event.clock else {}
                    machine = replace(machine, rates=event.rates, facts=machine.facts | clock)
                if isinstance(event, Surroundings):
                    unavailable |= event.unavailable
                    machine = replace(machine, facts=machine.facts | _facts(event))
        except WorkerLostError as lost:
            if lost.with_template:
                continue
            if not 0 <= lost.implementation < len(implementations):
                raise UserError(f"the machine's rates cannot be measured: {lost}") from lost
            culprit = implementations.pop(lost.implementation).name
            unavailable[culprit] = f"{lost} when asked whether it can run here"
            fatal.append(culprit)
        else:
            return Place(machine, unavailable, tuple(fatal))


def _facts(surroundings: Surroundings) -> dict[str, str]:
    kept = surroundings.keeps_memory
    return {
        "freed memory": "kept for the next allocation" if kept else "the system's default",
        "thread pools": surroundings.thread_pools,
    }


def header_of(plan: Plan, machine: Machine, unavailable: dict[str, str]) -> Header:
    """Describe a run of a plan that begins now.

    Args:
        plan: what is to be measured.
        machine: where.
        unavailable: reasons by implementation.
    """
    commits, suite_commits = commits_of_plan(plan)
    return Header(
        id=uuid.uuid4().hex[:12],
        started=now(),
        command=("sparsebench", *sys.argv[1:]),
        commit=own_commit(),
        suites=(plan.suite.name,),
        machine=machine,
        settings=plan.settings,
        implementations=tuple(
            [
                _record(each, unavailable.get(each.name, ""), commits.get(each.name, ""))
                for each in plan.implementations
            ]
            + [_broken_record(broken) for broken in plan.broken]
        ),
        planned=tuple(workload.name for workload in plan.workloads),
        suite_files={plan.suite.name: Path(plan.suite.file).name} if plan.suite.file else {},
        suite_commits=suite_commits,
    )


def commits_of_plan(plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Commits of the repositories that implementations, and a suite's file, lie in; where known."""
    sources = {each.name: source_of(load(each)) for each in plan.implementations}
    suites = {plan.suite.name: Path(plan.suite.file)} if plan.suite.file else {}
    commits = commits_of([*filter(None, sources.values()), *suites.values()])
    return (
        {name: commits[file] for name, file in sources.items() if file in commits},
        {name: commits[file] for name, file in suites.items() if file in commits},
    )


def _record(reference: Reference, unavailable: str, commit: str) -> ImplementationRecord:
    implementation = load(reference)
    # A plug-in's whole path is its user's own affair, and pages are published.
    file = Path(reference.source).name if reference.is_file else ""
    return ImplementationRecord(
        name=implementation.name,
        version=writable(str(implementation.version)),
        origin=writable(implementation.origin or file or reference.source),
        starts_dense=implementation.starts_dense,
        unavailable=unavailable,
        ledger=ledger(implementation),
        file=file,
        commit=commit,
    )


def _broken_record(broken: Broken) -> ImplementationRecord:
    return ImplementationRecord(broken.name, "", broken.source, False, broken.error, {})  # noqa: FBT003
