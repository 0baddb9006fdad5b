"""The choice of a launch's shape by measuring: first what is right, then what is fastest."""

import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from bench.errors import kind_and_line
from bench.measure.failures import DeadDeviceError, ensure_device_lives
from bench.measure.timers import Timer
from impls.cuda.choices import Choice, Choices
from impls.cuda.shapes import Chooser, Launch, Problem, Shape

ROUNDS = 7
"""Samples of each shape, in turn; a first one, which decides who takes part, is not kept."""
SECONDS = 1.0
"""After which no further round begins: of launches that take long, few samples say enough."""
REHEARSAL_SECONDS = 0.05
"""For which the rules' shape is launched before the first sample, so that the clock may rise again."""
HOPELESS = 2.0
"""Times the fastest first sample; slower ones are not sampled again."""
GAIN = 0.02
"""Share of the rules' time that another shape must save to be preferred."""


class FatalShapeError(DeadDeviceError):
    """A shape left the GPU unusable for this process.

    Attributes:
        kernel: that it launched, in words.
    """

    def __init__(self, kernel: str, fault: str) -> None:
        super().__init__(f"{kernel}: {fault}")
        self.kernel = kernel


class Measured(Chooser):
    """Uses what was measured, here or in an earlier process; the fixed rules for everything else.

    Args:
        choices_of: opens what is known of a device.
        timer_of: makes a clock of a device.
    """

    def __init__(
        self,
        choices_of: Callable[[torch.device], Choices],
        timer_of: Callable[[torch.device], Timer],
    ) -> None:
        self._choices_of = choices_of
        self._timer_of = timer_of
        self._choices: dict[torch.device, Choices] = {}
        self._chosen: dict[Problem, Shape | None] = {}  # None by the rules, which count rows
        self._measures = False

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure what is not known yet, as long as the context lasts."""
        self._chosen.clear()  # what the rules chose may be measured now
        self._measures = True
        try:
            yield
        finally:
            self._measures = False

    def choose(self, launch: Launch) -> Shape:
        """Choose what is known to be fastest."""
        problem = launch.problem()
        if problem not in self._chosen:
            self._chosen[problem] = self._find(problem, launch)
        return self._chosen[problem] or launch.rule()

    def _find(self, problem: Problem, launch: Launch) -> Shape | None:
        if problem.device not in self._choices:
            self._choices[problem.device] = self._choices_of(problem.device)
        choices = self._choices[problem.device]
        known = choices.find(str(problem))
        if known is None and not (self._measures and problem.row_bits):
            return None
        shapes = {str(shape): shape for shape in launch.candidates()}
        if known is None or (self._measures and known.shape not in shapes):
            try:
                known = measure(
                    launch, self._timer_of(problem.device), choices.fatal, choices.trial
                )
            except torch.OutOfMemoryError:  # of what trying takes; the launch itself may fit
                return None
            except FatalShapeError as fatal:  # this process is lost, but the next need not be
                choices.fear(fatal.kernel, str(fatal))
                raise
            choices.keep(str(problem), known)
        shape = shapes.get(known.shape)
        if shape is None or choices.fatal(_kernel(launch, shape)) is not None:
            return None
        return shape


def measure(
    launch: Launch,
    timer: Timer,
    fatal: Callable[[str], str | None] = lambda _: None,
    trial: Callable[[str, str], AbstractContextManager[None]] = lambda *_: nullcontext(),
) -> Choice:
    """Find the fastest shape that computes what the rules' shape does.

    One that differs from it by more than rounding, or raises, is never chosen; a warning says so.

    Args:
        launch: what is to be launched.
        timer: the clock.
        fatal: says of a kernel what it did to an earlier process; such a one is not tried.
        trial: leaves word of a kernel, and of what is tried with it, for the case that it hangs.

    Raises:
        FatalShapeError: if a shape leaves the GPU unusable.
        torch.OutOfMemoryError: if memory does not suffice to try.
    """
    rule, *others = launch.shapes()
    known = {shape: fatal(_kernel(launch, shape)) for shape in others}
    rejected = {str(shape): f"not tried: {fault}" for shape, fault in known.items() if fault}
    launch.compile(rule)  # all of them before the first runs, or clocks fall between samples
    faults = {
        shape: _compiling_fault(launch, shape) for shape in others if str(shape) not in rejected
    }
    wanted, allowed = launch.run(rule), launch.allowed()
    if wanted.is_cuda:
        torch.cuda.synchronize(wanted.device)  # what the rules' shape does is no other's fault
    _rehearse(launch, rule, timer)
    first = {rule: _sample(launch, rule, timer)}
    for shape, known_fault in faults.items():
        fault = known_fault
        if fault is None:
            with trial(_kernel(launch, shape), f"{launch.problem()}: {shape}"):
                fault = _fault(launch, shape, wanted, allowed)
                if fault is None:
                    first[shape] = _sample(launch, shape, timer)
        if fault is not None:
            rejected[str(shape)] = fault
            warnings.warn(
                f"{launch.problem()}: not in the shape {shape}: {fault}",
                RuntimeWarning,
                stacklevel=2,
            )
    medians = _medians(launch, first, timer)
    fastest = min(medians, key=lambda shape: medians[shape])
    is_faster = rule not in medians or medians[fastest] < (1 - GAIN) * medians[rule]
    microseconds = {str(shape): each / 1000 for shape, each in medians.items()}
    return Choice(str(fastest if is_faster else rule), microseconds, rejected)


def _medians(launch: Launch, first: dict[Shape, int], timer: Timer) -> dict[Shape, float]:
    """Nanoseconds of each that is not hopeless by its first sample, sampled in turn."""
    limit = HOPELESS * min(first.values())
    samples: dict[Shape, list[int]] = defaultdict(list)
    end = time.perf_counter() + SECONDS
    for number in range(ROUNDS):
        if number and time.perf_counter() > end:
            break
        for shape, nanoseconds in first.items():
            if nanoseconds <= limit:
                samples[shape].append(_sample(launch, shape, timer))
    return {shape: statistics.median(each) for shape, each in samples.items()}


def _rehearse(launch: Launch, shape: Shape, timer: Timer) -> None:
    """Keep the GPU at work until its clock is up: it fell while kernels were compiled."""
    end = time.perf_counter() + REHEARSAL_SECONDS
    while time.perf_counter() < end:
        _sample(launch, shape, timer)


def _sample(launch: Launch, shape: Shape, timer: Timer) -> int:
    """Nanoseconds of a launch."""
    try:
        return timer.time(launch.run, [shape])[0].nanoseconds
    except Exception:
        _ensure_device_lives(launch, shape)
        raise


def _compiling_fault(launch: Launch, shape: Shape) -> str | None:
    """Why a shape does not compile; this takes the seconds that no trial should."""
    try:
        launch.compile(shape)
    except Exception as error:  # noqa: BLE001  # a compiler's or a driver's
        return kind_and_line(error)
    return None


def _fault(launch: Launch, shape: Shape, wanted: Tensor, allowed: Tensor) -> str | None:
    """What is wrong with a shape, which is launched for the first time here, and has ended then."""
    try:
        found = launch.run(shape)
        differs = ~((found - wanted).abs() <= allowed) & wanted.isfinite()
        number = int(differs.sum())
    except Exception as error:
        _ensure_device_lives(launch, shape)
        if isinstance(error, torch.OutOfMemoryError):  # today's
            raise
        return kind_and_line(error)
    if number:
        return f"it differs from the rules' in {number:,} of {wanted.numel():,} values"
    return None


def _ensure_device_lives(launch: Launch, shape: Shape) -> None:
    """Look whether the GPU can still be used, after what a shape raised.

    Raises:
        FatalShapeError: if it cannot.
    """
    device = launch.problem().device
    if device.type != "cuda":
        return
    try:
        ensure_device_lives(device)
    except DeadDeviceError as dead:
        raise FatalShapeError(_kernel(launch, shape), str(dead)) from dead


def _kernel(launch: Launch, shape: Shape) -> str:
    """Of a shape, in words: one is broken for all problems that it is used for."""
    problem = launch.problem()
    dtype = str(problem.dtype).removeprefix("torch.")
    tile = "" if shape.tile is None else f" {shape.tile}"
    return f"{problem.product}, {dtype}, {shape.family}{tile}"
