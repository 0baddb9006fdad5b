"""A worker process: verifies and measures one workload, and tells the engine as it goes.

Nothing here knows what becomes of the events. A crash ends this process and nobody else's samples.
"""

import os
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import torch
from threadpoolctl import threadpool_limits

from bench.batch import SparseBatch
from bench.build import Weights, initial_weights, why_unbuildable
from bench.cost import Cost, network_cost
from bench.dtypes import torch_dtype
from bench.errors import DataError, UserError
from bench.expectation import expect
from bench.expected import Expectation
from bench.implementation import Implementation, why_unmeasured
from bench.machine import thread_pools
from bench.measure.candidate import Candidate, IncorrectError, Step
from bench.measure.description import describe
from bench.measure.guard import Guard
from bench.measure.instructions import instructions
from bench.measure.kept_expectation import keep, kept
from bench.measure.layers import LayerTimes, layer_times
from bench.measure.memory import keep_freed_memory, limit_memory, peak_of
from bench.measure.messages import (
    ORDERS,
    Checked,
    Done,
    Event,
    Failed,
    Measured,
    PhaseDone,
    Rates,
    RateTask,
    Refused,
    Surroundings,
    Task,
)
from bench.measure.parts import PartTimes, part_times
from bench.measure.pulse import NOBODY, Pulse
from bench.measure.rates import machine_rates
from bench.measure.rounds import Contestant, Spent, run_rounds
from bench.measure.stopping import StoppingRule
from bench.measure.timers import timer_for
from bench.measure.turns import Alone, Turns
from bench.phases import Phase
from bench.registry import load, load_suite
from bench.results.schema import Status
from bench.workload import Workload

PHASES = tuple(Phase)
ALLOCATION_FAILED = ("can't allocate memory", "could not create a memory")
"""How torch's allocator and oneDNN say so, in a RuntimeError."""
LAYERS_SHARE = 0.05
"""Passes that time layers or parts begin within this share of a phase's rounds, in the first process
only."""
RETIMED_NS = (20_000_000, 1_000_000)
"""A call that seems shorter than these is timed again before measuring, once for each: a first time may
hold page faults or a disturbance, and a sample of too few calls would be the worse for it."""


def serve(stream: BinaryIO) -> None:
    """Take one order from a stream, carry it out, write events to the same stream."""
    order = ORDERS.decode(stream.readline())
    _redirect_output(order.log)

    def tell(event: Event) -> None:
        stream.write(msgspec.json.encode(event) + b"\n")
        stream.flush()

    torch.set_num_threads(order.threads)
    torch.manual_seed(0)
    if torch.device(order.device).type == "cpu":
        limit_memory()
    keeps_memory = keep_freed_memory()
    with threadpool_limits(order.threads):
        if isinstance(order, RateTask):
            if order.dtypes:  # before a plug-in can disturb them
                tell(Rates(machine_rates(order.dtypes, torch.device(order.device))))
            unavailable = _unavailable(order)
            threadpool_limits(order.threads)
            tell(Surroundings(unavailable, keeps_memory, thread_pools()))
            tell(Done({}))
            return
        try:
            _Measurement(order, tell, stream.fileno()).run()
        except DataError as error:
            for reference in order.implementations:
                tell(Failed(reference.name, order.phases, Status.UNAVAILABLE, str(error)))
            tell(Done({}))
        except UserError as error:
            tell(Refused(str(error)))


def _unavailable(order: RateTask) -> dict[str, str]:
    """Ask every implementation why it cannot run here, which loads its library."""
    pulse = Pulse(Path(order.pulse))
    reasons = {}
    for number, reference in enumerate(order.implementations):
        pulse.beat(number, NOBODY)
        try:
            reason = load(reference).unavailable(torch.device(order.device))
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is recorded
            reason = _status_of(error)[1]
        if reason is not None:
            reasons[reference.name] = reason
    pulse.beat(NOBODY, NOBODY)
    return reasons


class _Measurement:
    """One task's state: who is still in the race, and how far it has come."""

    def __init__(
        self, task: Task, tell: Callable[[Event], None], connection: int | None = None
    ) -> None:
        self.task = task
        self.tell = tell
        self.guard = Guard(connection)
        self.started = time.perf_counter()
        self.spent = Spent()
        self.oracle_seconds = 0.0
        self.layer_seconds = 0.0
        self.pulse = Pulse(Path(task.pulse))
        self.turns = self._join_turnstile()
        self.device = torch.device(task.device)
        self.candidates: dict[str, Candidate] = {}
        self.unfit: dict[str, set[Phase]] = {}

    def _join_turnstile(self) -> Turns | Alone:
        if not self.task.turnstile:
            return Alone()
        return Turns(self.task.turnstile, self.task.side, lambda: self._beat(NOBODY, NOBODY))

    def run(self) -> None:
        """Describe, verify, measure, report."""
        task = self.task
        self.turns.meet()
        suite = load_suite(task.suite)
        workload = suite.find(task.workload)
        if workload.version() != task.version:
            raise UserError(f"workload {workload.name!r} changed since the run was planned")
        try:
            weights, batch, expectation = self._prepare(workload)
        except DataError:
            raise
        except UserError as error:
            raise UserError(f"workload {workload.name!r}: {error}") from error
        # Who comes first gets other memory than who comes last: not the same in every process.
        order = random.Random(f"{task.seed} {task.process}")  # noqa: S311
        contestants = list(enumerate(task.implementations))
        for number, reference in order.sample(contestants, len(contestants)):
            self._admit(number, load(reference), workload, weights, batch, expectation)
        threadpool_limits(task.threads)  # of the libraries, too, that have been loaded meanwhile
        with torch.no_grad():
            self.guard.expect_these()
            for phase in task.phases:
                self._measure(phase)
                self.tell(PhaseDone(phase))
        whole = time.perf_counter() - self.started
        known = self.spent.timed + self.spent.warm_up + self.oracle_seconds + self.layer_seconds
        self.tell(
            Done(
                {
                    "timed": self.spent.timed,
                    "warm-up": self.spent.warm_up,
                    "oracle": self.oracle_seconds,
                    "layers": self.layer_seconds,
                    "other": max(0.0, whole - known),
                }
            )
        )

    def _prepare(self, workload: Workload) -> tuple[Weights, SparseBatch, Expectation]:
        """Make weights and input, describe them, and have the oracle say what is to come out."""
        batch = workload.input.batch(workload.channels, workload.seed).checked().sorted()
        dtype = torch_dtype(self.task.dtype)
        batch = batch.to(self.device, dtype)
        weights = initial_weights(workload.network, workload.seed, dtype, self.device)
        cost = None
        if not self.task.is_described:
            cost = network_cost(workload.network, batch)
            self.tell(describe(self.task.suite, workload, batch, cost))
        started = time.perf_counter()
        expectation = self._expect(workload, weights, batch, cost)
        self.oracle_seconds += time.perf_counter() - started
        return weights, batch, expectation

    def _expect(
        self, workload: Workload, weights: Weights, batch: SparseBatch, cost: Cost | None
    ) -> Expectation:
        """What another process of this workload has kept, or else what the oracle says."""
        task = self.task
        of = f"{task.version} {task.dtype} {task.device}"
        path = Path(task.expectation)
        found = kept(of, path) if task.expectation else None
        if found is None:
            found = expect(
                workload.network,
                weights,
                batch,
                background=workload.background,
                seed=workload.seed,
                cost=cost,
            )
            if task.expectation:
                keep(found, of, path)
        return found

    def _admit(
        self,
        number: int,
        implementation: Implementation,
        workload: Workload,
        weights: Weights,
        batch: SparseBatch,
        expectation: Expectation,
    ) -> None:
        """Let an implementation into the race for the phases that it is right in."""
        name = implementation.name
        self._beat(number, NOBODY)
        started = time.perf_counter()
        forward = tuple(phase for phase in self.task.phases if not phase.needs_gradients)
        backward = tuple(phase for phase in self.task.phases if phase.needs_gradients)
        try:
            reason = implementation.unavailable(self.device)
            if reason is not None:
                self._fail(name, self.task.phases, Status.UNAVAILABLE, reason)
                return
            reason = why_unbuildable(
                implementation, workload.network, batch.features.dtype, self.device
            )
            if reason is not None:
                self._fail(name, self.task.phases, Status.UNSUPPORTED, reason)
                return
            candidate = Candidate(
                implementation, workload.network, weights, batch, expectation, workload.background
            )
            if forward or backward:
                candidate.verify_outputs()
            self.guard.settle()
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is recorded
            self._fail(name, self.task.phases, *_status_of(error))
            return
        finally:
            self.oracle_seconds += time.perf_counter() - started
        self.candidates[name] = candidate
        self._verify_gradients(name, candidate, backward)
        self.tell(Checked(name, expectation.coverage))

    def _verify_gradients(self, name: str, candidate: Candidate, phases: tuple[Phase, ...]) -> None:
        if not phases:
            return
        started = time.perf_counter()
        try:
            candidate.verify_gradients()
            self.guard.settle()
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is recorded
            self._fail(name, phases, *_status_of(error))
        finally:
            self.oracle_seconds += time.perf_counter() - started

    def _measure(self, phase: Phase) -> None:
        """Measure everyone who is right in a phase, in rounds; check the last results afterwards."""
        contestants, peaks = self._entrants(phase)
        timer = timer_for(self.device)
        order = random.Random(f"{self.task.seed} {self.task.process} {phase}")  # noqa: S311

        def beat(number: int) -> None:
            self._beat(number, phase)

        def drop(who: Contestant, error: Exception) -> None:
            self._fail(who.name, (phase,), *_status_of(error))

        self.turns.meet()
        started = time.perf_counter()
        stop = run_rounds(
            contestants,
            timer,
            seconds=self.task.seconds,
            rule=StoppingRule(self.task.precision),
            order=order,
            beat=beat,
            drop=drop,
            spent=self.spent,
            take_turns=self.turns.wait,
            check=self.guard.check,
        )
        layers: dict[str, LayerTimes] = {}
        if self.task.process == 0 and all(each.step.marked for each in contestants):
            now = time.perf_counter()
            seconds = LAYERS_SHARE * (now - started)
            layers = layer_times(
                contestants, self.device, seconds=seconds, order=order, beat=beat, drop=drop
            )
            self.layer_seconds += time.perf_counter() - now
        parts: dict[str, PartTimes] = {}
        if self.task.process == 0:
            now = time.perf_counter()
            seconds = LAYERS_SHARE * (now - started)
            parts = part_times(contestants, timer, seconds=seconds, order=order, beat=beat)
            self.layer_seconds += time.perf_counter() - now
        counts: dict[str, int] = {}
        if self.task.process == 0 and self.task.threads == 1 and self.device.type == "cpu":
            counts = instructions(contestants, beat)
        for contestant in contestants:
            if self._still_right(contestant, phase):
                name, samples = contestant.name, contestant.result(self.task.process, stop)
                also = layers.get(name, {}), parts.get(name, {}), counts.get(name)
                self.tell(Measured(name, phase, timer.name, samples, peaks[name], *also))

    def _entrants(self, phase: Phase) -> tuple[list[Contestant], dict[str, int | None]]:
        """Warm everyone up who is right in a phase; return them and the memory that a call took."""
        number_of = {ref.name: n for n, ref in enumerate(self.task.implementations)}
        contestants: list[Contestant] = []
        peaks: dict[str, int | None] = {}
        for name, candidate in self.candidates.items():
            if phase in self.unfit.get(name, ()):
                continue
            reason = why_unmeasured(candidate.implementation, phase)
            if reason is not None:
                self._fail(name, (phase,), Status.UNSUPPORTED, reason)
                continue
            self._beat(number_of[name], phase)
            try:
                contestant, peaks[name] = self._enter(number_of[name], candidate, phase)
                self.guard.settle()
            except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is recorded
                self._fail(name, (phase,), *_status_of(error))
            else:
                contestants.append(contestant)
        return contestants, peaks

    def _still_right(self, contestant: Contestant, phase: Phase) -> bool:
        """Check the result of the last timed call."""
        self._beat(contestant.number, phase)
        started = time.perf_counter()
        try:
            contestant.step.check(contestant.last)
        except Exception as error:  # noqa: BLE001  # a plug-in may raise anything; it is recorded
            self._fail(contestant.name, (phase,), *_status_of(error))
            return False
        finally:
            contestant.last = None
            self.oracle_seconds += time.perf_counter() - started
        return True

    def _enter(
        self, number: int, candidate: Candidate, phase: Phase
    ) -> tuple[Contestant, int | None]:
        """Make the step, warm it up, learn how long a call takes and how much memory."""
        started = time.perf_counter()
        step = candidate.step(phase)
        name = candidate.implementation.name
        known = self.task.known_ns.get(name, {}).get(phase)
        peak = None
        if known is None:
            argument = step.prepare()
            before = time.perf_counter_ns()
            _, peak = peak_of(lambda: step.call(argument), self.device)
            known = max(1, time.perf_counter_ns() - before)
            for limit in RETIMED_NS:
                if known < limit:
                    known = min(known, self._time_once(step))
        self.spent.warm_up += time.perf_counter() - started
        return Contestant(name, number, step, known), peak

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
            _ensure_device_lives(self.device)
        self.guard.put_back()
        self.unfit.setdefault(name, set()).update(phases)
        self.tell(Failed(name, phases, status, reason))

    def _beat(self, implementation: int, phase: Phase | int) -> None:
        self.pulse.beat(implementation, PHASES.index(phase) if isinstance(phase, Phase) else phase)


def _status_of(error: Exception) -> tuple[Status, str]:
    """Name what went wrong: the status, and one line with the place where it was raised."""
    if isinstance(error, IncorrectError):
        return Status.INCORRECT, str(error)
    text = str(error).strip().splitlines()
    if isinstance(error, NotImplementedError):
        return Status.UNSUPPORTED, text[0] if text else "not implemented"
    reason = f"{type(error).__name__}: {text[0] if text else 'no message'}"
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        reason += f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out_of_memory or any(words in reason for words in ALLOCATION_FAILED):
        return Status.OUT_OF_MEMORY, reason
    return Status.ERROR, reason


class DeadDeviceError(BaseException):
    """The CUDA context is dead; no handler of ordinary exceptions may keep this process alive."""


def _ensure_device_lives(device: torch.device) -> None:
    """After a failure, end this process if its CUDA context died: the others need a new one."""
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise DeadDeviceError(str(error).splitlines()[0]) from error


def _redirect_output(log: str) -> None:
    """Send what plug-ins print to the log, so that it cannot disturb what the command prints."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def main(descriptor: int) -> Any:  # noqa: ANN401
    """Serve one order on an inherited socket."""
    # A process that a plug-in forks and leaves behind may not keep the connection open.
    os.register_at_fork(after_in_child=lambda: os.close(descriptor))
    with os.fdopen(descriptor, "r+b", buffering=0) as stream:
        serve(stream)
