"""Two revisions of this project, measured in lock step: the same workloads, visit by visit in turn.

Each revision is checked out into a folder of its own and runs its own code, harness included, in worker
processes of its own, with the same installed dependencies. What would disturb one disturbs the other.

Revisions may also be those of another repository that holds plug-in files: then each side loads its own
version of them, and this harness measures both.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from bench.commits import short
from bench.comparison import Changes, compare_runs
from bench.errors import UserError
from bench.gpu import conditions, watched
from bench.machine import idle_processors
from bench.measure.engine import Engine
from bench.measure.messages import Preparation
from bench.measure.plan import Plan
from bench.measure.processes import Templates
from bench.measure.record import Record, TurnsAt, unit_of
from bench.measure.turns import Turnstile
from bench.results.schema import Header, Run, Unit
from bench.revisions import PROJECT, Revision
from bench.second_measurement import Suspects, suspected, together
from bench.temporary import TemporaryFolder
from bench.time_of_day import now
from bench.workload import Workload

SIDES = ("base", "head")
AGAIN_SHARE = 0.4
"""What is measured again takes at most this share of the time that everything took, or as much as one
phase of all workloads. Where it would take more, what is merely too noisy is left as it is; and if that
is not enough, each gets less."""


def compare_revisions(
    plan: Plan, base: Revision, head: Revision, tell: Callable[[int, int, str], None] | None = None
) -> Changes:
    """Measure a plan at two revisions and compare; what may be slower is measured once more.

    Args:
        plan: what to measure, as this process knows it. A revision that has other workloads, or whose
            implementations are missing, has cells without a time.
        base: before.
        head: after.
        tell: told after every pair of worker processes how many are done, of how many, and which.

    Raises:
        UserError: if a revision cannot run at all.
    """
    with ExitStack() as stack:
        sides = [
            stack.enter_context(closing(_Side(_plan_at(plan, revision), revision)))
            for revision in (base, head)
        ]
        templates = [side.templates for side in sides]
        with ThreadPoolExecutor(len(sides)) as pool, _ended_early(templates):
            list(pool.map(_Side.prepare, sides))  # each compiles in its own checkout
        pair = uuid.uuid4().hex[:12]
        headers = [side.header(pair) for side in sides]

        def measure(suspects: Suspects | None) -> Changes:
            units = _measure(plan, sides, suspects, tell)
            runs = (Run(*each, now()) for each in zip(headers, units, strict=True))
            return compare_runs(*runs, paired=True)

        changes = measure(None)
        again = suspected(changes)
        if _share(plan, again) < 1:
            again = suspected(changes, noisy=False)
        if not again:
            return changes
        for side in sides:
            side.restart()
        for side in sides:
            side.prepare()
        return together(changes, measure(again))


@contextmanager
def _ended_early(templates: list[Templates]) -> Iterator[None]:
    """End workers at once where one is interrupted, rather than wait for what they are at."""
    try:
        yield
    except BaseException:
        for each in templates:
            each.close()
        raise


class _Side:
    """One revision and the templates of its workers, which start at once; to be closed.

    Every process has one of its own, so that where memory and compiled code lie differs at random
    between the sides: all cells that a template's workers measure feel that alike.
    """

    def __init__(self, plan: Plan, revision: Revision) -> None:
        self.plan = plan
        self.versions: dict[str, str] = {}
        self._revision = revision
        self.templates = self._start()

    def close(self) -> None:
        """End the templates."""
        self.templates.close()

    def prepare(self) -> None:
        """Have the code imported, and compiled by one template for all others.

        Raises:
            UserError: if it cannot be imported.
        """
        try:
            preparation = Preparation(self.plan.implementations, self.plan.device)
            self.templates.prepare(preparation, one_first=True)
            self.templates.wait_until_ready()
        except UserError as error:
            raise self._refusal(error) from error

    def header(self, pair: str) -> Header:
        """Describe the revision and the machine, once nobody prepares anything any more.

        Args:
            pair: what both sides have in common.

        Raises:
            UserError: if an implementation cannot be loaded.
        """
        try:
            header = Engine(self.plan, self.templates).header()
        except UserError as error:
            raise self._refusal(error) from error
        self.versions = {each.name: each.version for each in header.implementations}
        return replace(_as_of(self._revision, header), pair=pair)

    def _refusal(self, error: UserError) -> UserError:
        hint = ""
        if self._revision.environment:
            hint = " (files that git does not track are not in its checkout: --build makes them)"
        name, words = self._revision.name, self._revision.words(error)
        return UserError(f"cannot run at {name}: {words}{hint}")

    def restart(self) -> None:
        """Go on with new templates."""
        self.templates.close()
        self.templates = self._start()

    def _start(self) -> Templates:
        is_here = self._revision.folder == PROJECT or self._revision.plugins is not None
        return Templates(
            self.plan.suite.source,
            self.plan.settings.threads,
            checkout=None if is_here else self._revision.folder,
            count=self.plan.settings.processes,
            more=self._revision.environment,
        )


def _as_of(revision: Revision, header: Header) -> Header:
    """A side's header, its commits as a run of that checkout would have them."""
    if revision.plugins is not None:  # the harness is this checkout's on both sides
        return header
    own = short(revision.commit)
    implementations = tuple(
        replace(record, commit="") if record.commit == own else record
        for record in header.implementations
    )
    return replace(header, commit=own, implementations=implementations)


def _measure(
    plan: Plan,
    sides: list[_Side],
    suspects: Suspects | None,
    tell: Callable[[int, int, str], None] | None,
) -> tuple[tuple[Unit, ...], ...]:
    """Measure all workloads, or those that are suspected; return the units of each side."""
    workloads = [own for own in plan.workloads if suspects is None or own.name in suspects]
    processes = plan.settings.processes
    templates = [side.templates for side in sides]
    total = len(workloads) * len(plan.dtypes) * processes
    done = 0
    units: list[list[Unit]] = [[] for _ in sides]
    for workload in workloads:
        records: list[list[Record]] = []
        started = time.perf_counter()
        with watched(torch.device(plan.device)) as looks:
            for dtype in plan.dtypes:
                both = [
                    _record(each.plan, workload, dtype, suspects, each.versions) for each in sides
                ]
                for process in range(processes):
                    _in_lock_step(both, templates, process)
                    both[0].agree_with(both[1])
                    done += 1
                    if tell is not None:
                        tell(done, total, f"{workload.name} {dtype}")
                records.append(both)
        seconds = time.perf_counter() - started
        for side, own in zip(units, zip(*records, strict=True), strict=True):
            side.append(replace(unit_of(list(own), seconds), gpu=conditions(looks)))
    return tuple(tuple(own) for own in units)


def _record(
    plan: Plan,
    workload: Workload,
    dtype: str,
    suspects: Suspects | None,
    versions: dict[str, str],
) -> Record:
    """Begin a workload; of one that is measured again, what is suspected."""
    if suspects is None:
        return Record(plan, workload, dtype, versions=versions)
    own = suspects[workload.name]
    names = {name for name, _ in own}
    phases = tuple(each for each in plan.settings.phases if each in {phase for _, phase in own})
    again = replace(
        plan,
        implementations=tuple(each for each in plan.implementations if each.name in names),
        settings=replace(
            plan.settings,
            phases=phases,
            seconds=plan.settings.seconds * _share(plan, suspects),
            seed=plan.settings.seed + 1,
        ),
    )
    others = frozenset((name, phase) for name in names for phase in phases) - own
    return Record(again, workload, dtype, left_out=others, versions=versions)


def _share(plan: Plan, suspects: Suspects) -> float:
    """How much of its time a phase gets when it is measured again."""
    phases = max(1.0, AGAIN_SHARE * len(plan.settings.phases))
    again = max(1, sum(len({phase for _, phase in own}) for own in suspects.values()))
    return min(1.0, phases * len(plan.workloads) / again)


def _plan_at(plan: Plan, revision: Revision) -> Plan:
    """The same plan, with plug-in files as the revision has them, and without those that it lacks.

    Raises:
        UserError: if nothing is left of it, or none of the plan's files is in the repository.
    """
    if revision.plugins is None:
        return plan
    found, theirs = [], []
    for reference in plan.implementations:
        source = Path(reference.source)
        if not reference.is_file or not source.is_relative_to(revision.plugins):
            found.append(reference)
            continue
        theirs.append(str(source.relative_to(revision.plugins)))
        there = revision.folder / theirs[-1]
        if there.is_file():
            found.append(replace(reference, source=str(there)))
    if not theirs:
        raise UserError(f"name a plug-in file of {revision.plugins} with --impl")
    if not found:
        raise UserError(
            f"cannot run at {revision.name}: it has no {', '.join(theirs)}; what both have, such as "
            f"dense, may be measured beside it"
        )
    return replace(plan, implementations=tuple(found))


def _in_lock_step(records: list[Record], templates: list[Templates], process: int) -> None:
    """Have one process of each side measure a workload, in turns.

    Raises:
        UserError: if a side refuses, as where it does not know the workload.
    """
    plan, workload, dtype = records[0].plan, records[0].workload, records[0].dtype
    order = random.Random(f"{plan.settings.seed} {workload.name} {dtype} {process}")  # noqa: S311
    # Two processors may differ by more than two revisions do: both sides keep to the same.
    processors = idle_processors(plan.settings.threads, order) if plan.device == "cpu" else ()
    failures: list[Exception] = []
    with (
        TemporaryFolder("sparsebench-turns-") as folder,
        Turnstile(folder / "socket", SIDES, order) as turnstile,
    ):

        def measure(number: int) -> None:
            try:
                turns = TurnsAt(str(turnstile.path), SIDES[number], processors)
                records[number].measure(templates[number], process, turns)
            except Exception as error:  # noqa: BLE001  # raised again by who waits
                failures.append(error)
            finally:
                turnstile.leave(SIDES[number])

        threads = [
            threading.Thread(target=measure, args=(number,), daemon=True)
            for number in range(len(SIDES))
        ]
        with _ended_early(templates):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    if failures and isinstance(failures[0], UserError | msgspec.DecodeError):
        raise UserError(f"cannot compare {workload.name}: {failures[0]}")
    if failures:
        raise failures[0]
