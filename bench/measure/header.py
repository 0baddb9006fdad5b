"""What is known of a run before it is measured: the machine, its limits, and who can run there."""

import sys
import uuid
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from bench.commits import commits_of, own_commit
from bench.errors import UserError
from bench.machine import describe_machine
from bench.measure.description import describe_implementation
from bench.measure.messages import Loaded, Preparation, Rates, RateTask, Surroundings
from bench.measure.plan import Plan
from bench.measure.processes import Templates, WorkerLostError
from bench.plugins.implementations import load
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
        loaded: what all others say of themselves, by name.
    """

    machine: Machine
    unavailable: dict[str, str]
    fatal: tuple[str, ...]
    loaded: dict[str, Loaded]


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
    loaded: dict[str, Loaded] = {}
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
                    loaded = event.loaded
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
            return Place(machine, unavailable, tuple(fatal), loaded)


def _facts(surroundings: Surroundings) -> dict[str, str]:
    kept = surroundings.keeps_memory
    return {
        "freed memory": "kept for the next allocation" if kept else "the system's default",
        "thread pools": surroundings.thread_pools,
    }


def header_of(plan: Plan, place: Place) -> Header:
    """Describe a run of a plan that begins now.

    Args:
        plan: what is to be measured.
        place: where.
    """
    # A second copy of a file may refuse to be loaded beside the first one: a worker has done it.
    loaded = {
        each.name: place.loaded.get(each.name) or _loaded(each) for each in plan.implementations
    }
    commits, suite_commits = commits_of_plan(plan, loaded)
    return Header(
        id=uuid.uuid4().hex[:12],
        started=now(),
        command=("sparsebench", *sys.argv[1:]),
        commit=own_commit(),
        suites=(plan.suite.name,),
        machine=place.machine,
        settings=plan.settings,
        implementations=tuple(
            [
                replace(
                    each.record,
                    unavailable=place.unavailable.get(name, ""),
                    commit=commits.get(name, ""),
                )
                for name, each in loaded.items()
            ]
            + [_broken_record(broken) for broken in plan.broken]
        ),
        planned=tuple(workload.name for workload in plan.workloads),
        suite_files={plan.suite.name: Path(plan.suite.file).name} if plan.suite.file else {},
        suite_commits=suite_commits,
    )


def commits_of_plan(
    plan: Plan, loaded: dict[str, Loaded] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Commits of the repositories that implementations, and a suite's file, lie in; where known."""
    loaded = loaded or {each.name: _loaded(each) for each in plan.implementations}
    sources = {name: Path(each.source) if each.source else None for name, each in loaded.items()}
    suites = {plan.suite.name: Path(plan.suite.file)} if plan.suite.file else {}
    commits = commits_of([*filter(None, sources.values()), *suites.values()])
    return (
        {name: commits[file] for name, file in sources.items() if file in commits},
        {name: commits[file] for name, file in suites.items() if file in commits},
    )


def _loaded(reference: Reference) -> Loaded:
    return describe_implementation(reference, load(reference))


def _broken_record(broken: Broken) -> ImplementationRecord:
    return ImplementationRecord(broken.name, "", broken.source, False, broken.error, {})  # noqa: FBT003
