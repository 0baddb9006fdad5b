"""Clocks: what one sample is taken with."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch

from bench.phases import Phase

L2_FLUSH_BYTES = 2**28
FIRST_HOLD_CYCLES = 2_000_000
"""A millisecond at 2 GHz."""
SHORTEST_HOLD_CYCLES = FIRST_HOLD_CYCLES // 20
LONGEST_HOLD_CYCLES = 16 * FIRST_HOLD_CYCLES
HOLD_CYCLES_EACH = 4
"""For each nanosecond that queueing took: twice as long at 2 GHz."""
REMEMBERED = 8
"""Samples whose longest queueing says how long the next hold is."""
IN_VAIN = 3
"""So often in a row may the longest hold be too short before there are no more holds."""


class Duration(NamedTuple):
    """One sample.

    Attributes:
        nanoseconds: that its calls took together.
        was_held: whether a GPU's stream waited until all was queued; also True where it need not.
        after_ns: for how long a GPU went on once the calls had returned; None where nobody looked.
    """

    nanoseconds: int
    was_held: bool = True
    after_ns: int | None = None


Call = Callable[[Any], Any]
Clock = Callable[[Call, Sequence[Any]], tuple[Duration, Any]]
"""Makes a call with each of several arguments; returns how long all took and the last one's result."""


class Timer(Protocol):
    """Times the same call on several arguments, as one sample.

    Attributes:
        words: how calls are timed.
        most_calls: that a sample may have; None for as many as there are arguments for.
        is_coarse: whether its ticks are so long that several samples say more by their mean than by
            their median, which is one of the ticks.
        times_first_calls: whether a visit's first call finds caches that its later ones do not, and is
            timed by itself.
        time: the clock.
        time_by_other: another clock, by which a round has one sample more; None where there is none.
    """

    words: str
    most_calls: int | None
    is_coarse: bool
    times_first_calls: bool

    @property
    def time(self) -> Clock:
        """The clock."""

    @property
    def time_by_other(self) -> Clock | None:
        """Another clock."""


class WallTimer:
    """The wall clock of the CPU. Nothing is flushed: the first call finds what others left."""

    words = "perf_counter_ns; caches not flushed"
    most_calls: int | None = None
    is_coarse = False
    times_first_calls = True
    time_by_other = None

    def time(self, call: Call, arguments: Sequence[Any]) -> tuple[Duration, Any]:
        """Return the duration of all calls together and the last call's result."""
        result = None
        start = time.perf_counter_ns()
        for argument in arguments:
            result = call(argument)
        return Duration(max(1, time.perf_counter_ns() - start)), result


class Hold:
    """Keeps a stream waiting while launches are queued, so that no gap between them is timed.

    It lasts twice as long as queueing lately took. If the longest hold is too short several times in a
    row, the call itself waits for the device, or queues more than the device's queue takes. No hold
    would be long enough for such a call, and there is none from then on.

    Attributes:
        cycles: of the GPU's clock that the next hold lasts; 0 for no hold.
    """

    def __init__(self) -> None:
        self.cycles = FIRST_HOLD_CYCLES
        self._queueing: deque[int] = deque(maxlen=REMEMBERED)
        self._in_vain = 0
        self._begun = 0

    def begin(self) -> None:
        """Hold the current stream."""
        if self.cycles:
            torch.cuda._sleep(self.cycles)  # noqa: SLF001  # torch has no public way to hold a stream
        self._begun = time.perf_counter_ns()

    def judge(self, start: torch.cuda.Event) -> bool:
        """Tell whether the hold lasts until now, when all is queued; choose the length of the next one.

        Args:
            start: was recorded right behind the hold.
        """
        queueing = time.perf_counter_ns() - self._begun
        if not self.cycles:
            return False
        if not start.query():
            self._in_vain = 0
            self._queueing.append(queueing)
            self.cycles = _hold_for(max(self._queueing))
            return True
        self._in_vain += self.cycles == LONGEST_HOLD_CYCLES
        self.cycles = 0 if self._in_vain == IN_VAIN else max(self.cycles, _hold_for(queueing))
        return False


def _hold_for(queueing_ns: int) -> int:
    return min(max(SHORTEST_HOLD_CYCLES, HOLD_CYCLES_EACH * queueing_ns), LONGEST_HOLD_CYCLES)


class GpuTimer:
    """The two clocks of a GPU, either of which may be the one that times; L2 is flushed before each.

    - Events on the stream, which is held while the call's launches are queued: the device's own time.
    - The wall clock, until the device is done: what a caller waits for.

    A sample has one call. Of several, all but the first would find in L2 what the one before left
    there, and fast contestants would have more of them than slow ones. Every call has a hold of its
    own, as some take longer to queue than others.

    Args:
        device: a GPU.
        by_events: whether events time, and the wall clock is the other one; else the reverse.
    """

    most_calls: int | None = 1
    times_first_calls = False

    def __init__(self, device: torch.device, *, by_events: bool) -> None:
        self.device = device
        self.by_events = self.is_coarse = by_events
        self.words = (
            "CUDA events; stream held while launches are queued; L2 flushed before each call"
            if by_events
            else "wall clock until the GPU is done; L2 flushed before each call"
        )
        self._filler = torch.empty(L2_FLUSH_BYTES, dtype=torch.uint8, device=device)
        self.start = torch.cuda.Event(enable_timing=True)
        self.stop = torch.cuda.Event(enable_timing=True)
        self.holds: defaultdict[Call, Hold] = defaultdict(Hold)

    @property
    def time(self) -> Clock:
        """The clock that times."""
        return self._time_by_events if self.by_events else self._time_by_wall_clock

    @property
    def time_by_other(self) -> Clock:
        """The clock that looks on."""
        return self._time_by_wall_clock if self.by_events else self._time_by_events

    def _time_by_events(self, call: Call, arguments: Sequence[Any]) -> tuple[Duration, Any]:
        result, hold = None, self.holds[call]
        self.flush_caches()
        hold.begin()
        self.start.record()
        for argument in arguments:
            result = call(argument)
        self.stop.record()
        was_held = hold.judge(self.start)
        torch.cuda.synchronize(self.device)
        milliseconds = self.start.elapsed_time(self.stop)
        return Duration(max(1, round(milliseconds * 1e6)), was_held), result

    def _time_by_wall_clock(self, call: Call, arguments: Sequence[Any]) -> tuple[Duration, Any]:
        result = None
        self.flush_caches()
        start = time.perf_counter_ns()
        for argument in arguments:
            result = call(argument)
        returned = time.perf_counter_ns()
        torch.cuda.synchronize(self.device)
        done = time.perf_counter_ns()
        return Duration(max(1, done - start), after_ns=done - returned), result

    def flush_caches(self) -> None:
        """Have nothing that a call uses in L2, and the device at rest."""
        self._filler.zero_()
        torch.cuda.synchronize(self.device)


def timer_for(device: torch.device, phase: Phase) -> Timer:
    """Choose the clock of a phase on a device.

    On a GPU, events time phases that are nothing but kernels. In the others, an implementation may
    have to wait for the device before it knows how much is to come. A hold cannot cover what the host
    does after that, but covers all that the host does for its rivals; only the wall clock treats them
    alike.
    """
    if device.type != "cuda":
        return WallTimer()
    return GpuTimer(device, by_events=phase in {Phase.FORWARD, Phase.BACKWARD})
