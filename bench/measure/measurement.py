"""One workload in one worker process: described, verified, and measured phase by phase."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from bench.batch import SparseBatch
from bench.build import Weights, operands
from bench.cost import Cost, network_cost
from bench.errors import MissingDataError, UserError
from bench.implementation import Implementation, overrides, why_unmeasured
from bench.measure.candidate import Candidate, IncorrectError, Problem
from bench.measure.contestant import Contestant, Race, hidden_work
from bench.measure.description import describe
from bench.measure.failures import ensure_device_lives, status_of, why_not_run
from bench.measure.guard import Guard
from bench.measure.instructions import instructions
from bench.measure.kept_expectation import keep, kept
from bench.measure.layers import LayerTimes, layer_times
from bench.measure.memory import peak_of
from bench.measure.messages import (
    Checked,
    Done,
    Event,
    Failed,
    Measured,
    PhaseDone,
    Task,
)
from bench.measure.parts import PartTimes, part_times
from bench.measure.posing import expectation_of, input_of
from bench.measure.pulse import NOBODY, Pulse, beating
from bench.measure.rounds import run_rounds
from bench.measure.spent import Spent
from bench.measure.steps import Step, step_of
from bench.measure.stopping import StoppingRule
from bench.measure.threads import LONGEST_CALL_NS, work_of_other_threads
from bench.measure.timers import Timer, timer_for
from bench.measure.turns import Alone, Turns
from bench.oracle.expected import Expectation
from bench.phases import Phase
from bench.plugins.implementations import load
from bench.plugins.installed import Reference
from bench.plugins.suites import known_suite
from bench.results.schema import Status
from bench.workload import Workload

PHASES = tuple(Phase)
LAYERS_SHARE = 0.05
"""Passes that time layers, or parts, may begin for this share of the time that the phase's rounds took.
Only the first process makes such passes."""
RETIMED_NS = 1_000_000
"""A call that seems shorter than this is timed once more before the number of calls in a sample is
chosen: page faults or a disturbance may be in the first time, and samples would have too few calls."""


class Measurement:
    """Carries out one task: one workload, in one element type, in this process.

    Attributes:
        candidates: implementations whose outputs are right, by name.
        unfit: phases in which an implementation is not measured, or not any more, by name.
    """

    def __init__(
        self, task: Task, tell: Callable[[Event], None], connection: int | None = None
    ) -> None:
        self.task = task
        self.tell = tell
        self.guard = Guard(connection, torch.device(task.device))
        self.started = time.perf_counter()
        self.spent = Spent()
        self.pulse = Pulse(Path(task.pulse))
        self.turns = self._join_turnstile()
        self.device = torch.device(task.device)
        self.candidates: dict[str, Candidate] = {}
        self.unfit: defaultdict[str, set[Phase]] = defaultdict(set)
        for name, phases in task.left_out.items():
            self.unfit[name].update(phases)

    def _join_turnstile(self) -> Turns | Alone:
        if not self.task.turnstile:
            return Alone()
        return Turns(self.task.turnstile, self.task.side, lambda: self._beat(NOBODY, NOBODY))

    def run(self) -> None:
        """Describe, verify, measure, report."""
        task = self.task
        self.turns.meet()
        suite = known_suite(task.suite)
        workload = suite.find(task.workload)
        if workload.version() != task.version:
            raise UserError(f"workload {workload.name!r} changed since the run was planned")
        problem = self._pose_in_memory(suite.name, workload)
        if problem is None:
            self.tell(Done({}))
            return
        # Who comes first gets other memory than who comes last. So the order differs between processes;
        # and between workloads, as means over these take what disturbs them for independent.
        order = self._order()
        contestants = list(enumerate(task.implementations))
        for number, reference in order.sample(contestants, len(contestants)):
            self._admit(number, reference, problem)
        threadpool_limits(task.threads)  # of the libraries, too, that have been loaded meanwhile
        with torch.no_grad():
            self.guard.expect_these()
            for phase in task.phases:
                self._measure(phase)
                self.tell(PhaseDone(phase))
        known = self.spent.seconds
        other = max(0.0, time.perf_counter() - self.started - sum(known.values()))
        self.tell(Done(known | {"other": other, "processors": time.process_time()}))

    def _order(self, of: str = "") -> random.Random:
        """Source of random orders of implementations; both sides of `ab` get the same ones."""
        task = self.task
        return random.Random(  # noqa: S311
            f"{task.seed} {task.workload} {task.dtype} {task.process} {of}"
        )

    def _pose_in_memory(self, suite: str, workload: Workload) -> Problem | None:
        """Pose the problem; where memory does not hold it, fail everybody and return None.

        Raises:
            UserError: if its data is missing, or its network does not fit its input.
        """
        try:
            return self._pose(suite, workload)
        except MissingDataError:
            raise
        except UserError as error:
            raise UserError(f"workload {workload.name!r}: {error}") from error
        except (MemoryError, RuntimeError) as error:
            status, reason = status_of(error)
            if status is not Status.OUT_OF_MEMORY:
                raise
            why = f"for the input and what is expected of it: {reason}"
            for reference in self.task.implementations:
                self._fail(reference.name, self.task.phases, status, why)
            return None

    def _pose(self, suite: str, workload: Workload) -> Problem:
        """Make weights and input, describe them, and have the oracle say what is to come out."""
        batch = input_of(workload)
        batch, weights = operands(
            workload.network, workload.seed, batch, self.task.dtype, self.device
        )
        cost = None
        if not self.task.is_described:
            cost = network_cost(workload.network, batch)
            self.tell(describe(suite, workload, batch, cost))
        with self.spent.on("oracle"), beating(lambda: self._beat(NOBODY, NOBODY)):
            expectation = self._expect(workload, weights, batch, cost)
        return Problem(workload.network, weights, batch, expectation, workload.background)

    def _expect(
        self, workload: Workload, weights: Weights, batch: SparseBatch, cost: Cost | None
    ) -> Expectation:
        """What the oracle says; as another process of this workload has kept it, if one has."""
        task = self.task
        of = f"{task.version} {task.dtype} {task.device}"
        path = Path(task.expectation)
        found = kept(of, path) if task.expectation else None
        if found is None:
            found = expectation_of(workload, weights, batch, task.dtype, cost)
            if task.expectation:
                keep(found, of, path)
        return found

    @contextmanager
    def _failing_alone(self, name: str, phases: tuple[Phase, ...]) -> Iterator[None]:
        """Record what an implementation raises as its failure in some phases, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything
            self._fail(name, phases, *status_of(error))

    def _admit(self, number: int, reference: Reference, problem: Problem) -> None:
        """Let an implementation into the race for the phases that it is right in."""
        name = reference.name
        self._beat(number, NOBODY)
        fit = [phase for phase in self.task.phases if phase not in self.unfit[name]]
        backward = tuple(phase for phase in fit if phase.needs_gradients)
        with self._failing_alone(name, self.task.phases), self.spent.on("oracle"):
            implementation = load(reference)  # another revision may not have it
            dtype = problem.batch.features.dtype
            refusal = why_not_run(implementation, problem.network, dtype, self.device)
            if refusal is not None:
                self._fail(name, self.task.phases, *refusal)
                return
            candidate = Candidate(implementation, problem)
            self._tune(number, implementation, candidate.tune_outputs)
            if name in self.task.verified:
                candidate.verify_first_call()
            else:
                candidate.verify_outputs()
            self.guard.settle()
            self.candidates[name] = candidate
        if name not in self.candidates:
            return
        self._beat(number, NOBODY)
        if backward:
            with self._failing_alone(name, backward), self.spent.on("oracle"):
                self._tune(number, implementation, candidate.tune_gradients)
                candidate.verify_gradients()
                self.guard.settle()
        if name not in self.task.verified:
            self.tell(Checked(name, problem.expectation.coverage))

    def _tune(self, number: int, implementation: Implementation, tune: Callable[[], None]) -> None:
        """Let an implementation choose by measuring; what that takes is told apart."""
        if overrides(implementation, "tune"):
            with self.spent.on("tuning"), beating(lambda: self._beat(number, NOBODY)):
                tune()

    def _measure(self, phase: Phase) -> None:
        """Measure everyone who is right in a phase, in rounds; check the last results afterwards."""
        contestants = self._entrants(phase)
        timer = timer_for(self.device, phase)

        def beat(number: int) -> None:
            self._beat(number, phase)

        def fail(who: Contestant, error: Exception) -> None:
            self._fail(who.name, (phase,), *status_of(error))

        race = Race(contestants, timer, self.device, self._order(phase), beat, fail)
        self.turns.meet()
        started = time.perf_counter()
        stop = run_rounds(
            race,
            seconds=self.task.seconds,
            rule=StoppingRule(self.task.precision),
            spent=self.spent,
            take_turns=self.turns.wait,
            check=self.guard.check,
            rehearses=None if isinstance(self.turns, Alone) else self.task.process == 0,
        )
        layers, parts, counts = self._look_inside(race, started)
        for contestant in contestants:
            name = contestant.name
            with self._failing_alone(name, (phase,)):
                self._check_afterwards(contestant, phase, timer)
            if phase not in self.unfit[name]:
                samples = contestant.result(self.task.process, stop, timer)
                also = layers.get(name, {}), parts.get(name, {}), counts.get(name)
                self.tell(Measured(name, phase, timer.words, samples, contestant.peak_bytes, *also))

    def _look_inside(
        self, race: Race, started: float
    ) -> tuple[dict[str, LayerTimes], dict[str, PartTimes], dict[str, int]]:
        """Time layers and parts and count instructions, by implementation; in the first process only.

        Args:
            race: whose rounds are over.
            started: when they began.
        """
        if self.task.process != 0:
            return {}, {}, {}
        layers: dict[str, LayerTimes] = {}
        with self.spent.on("layers"):
            if all(each.step.marked for each in race.contestants):
                layers = layer_times(race, LAYERS_SHARE * (time.perf_counter() - started))
            parts = part_times(race, LAYERS_SHARE * (time.perf_counter() - started))
        counts: dict[str, int] = {}
        if self.task.threads == 1 and self.device.type == "cpu":
            counts = instructions(race.contestants, race.beat)
        return layers, parts, counts

    def _entrants(self, phase: Phase) -> list[Contestant]:
        """Warm everyone up who is right in a phase."""
        number_of = {ref.name: n for n, ref in enumerate(self.task.implementations)}
        contestants: list[Contestant] = []
        for name, candidate in self.candidates.items():
            if phase in self.unfit[name]:
                continue
            self._beat(number_of[name], phase)
            with self._failing_alone(name, (phase,)):
                reason = why_unmeasured(candidate.implementation, phase, candidate.built.network)
                if reason is not None:
                    self._fail(name, (phase,), Status.UNSUPPORTED, reason)
                    continue
                contestant = self._enter(number_of[name], candidate, phase)
                self.guard.settle()
                contestants.append(contestant)
        self._beat(NOBODY, NOBODY)  # what comes before the rounds is no one's
        return contestants

    def _check_afterwards(self, contestant: Contestant, phase: Phase, timer: Timer) -> None:
        """Check the result of the last timed call, and that the clock saw all of the work.

        Raises:
            IncorrectError: if one of them is not so.
        """
        self._beat(contestant.number, phase)
        try:
            with self.spent.on("oracle"):
                contestant.step.check(contestant.last)
        finally:
            contestant.last = None
        reason = hidden_work(contestant, timer)
        if reason is not None:
            raise IncorrectError(reason)

    def _enter(self, number: int, candidate: Candidate, phase: Phase) -> Contestant:
        """Make the step, warm it up, learn how long a call takes, how much memory and how many threads.

        Raises:
            IncorrectError: if its calls take more threads than it was given.
        """
        with self.spent.on("warm-up"):
            step = step_of(candidate, phase)
            name = candidate.implementation.name
            known = self.task.known_ns.get(name, {}).get(phase)
            peak = None
            if known is None:
                argument = step.prepare()
                before = time.perf_counter_ns()
                _, peak = peak_of(lambda: step.call(argument), self.device)
                known = max(1, time.perf_counter_ns() - before)
                if known < RETIMED_NS:
                    known = min(known, self._time_once(step))
                is_alone = self.task.threads == 1 and self.device.type == "cpu"
                if is_alone and known <= LONGEST_CALL_NS:
                    reason = work_of_other_threads(step)
                    if reason is not None:
                        raise IncorrectError(reason)
            if self.device.type == "cuda":  # so that its faults show here, and not at the next
                torch.cuda.synchronize(self.device)
        return Contestant(name, number, step, known, peak)

    def _time_once(self, step: Step) -> int:
        """Nanoseconds of one untimed call: good enough to choose the number of calls in a sample."""
        argument = step.prepare()
        before = time.perf_counter_ns()
        step.call(argument)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return max(1, time.perf_counter_ns() - before)

    def _fail(self, name: str, phases: tuple[Phase, ...], status: Status, reason: str) -> None:
        if self.device.type == "cuda":
            ensure_device_lives(self.device)
        self.guard.put_back()
        self.unfit[name].update(phases)
        self.tell(Failed(name, phases, status, reason))

    def _beat(self, implementation: int, phase: Phase | int) -> None:
        self.pulse.beat(implementation, PHASES.index(phase) if isinstance(phase, Phase) else phase)
