import time

import pytest
import torch

from bench.measure import timers
from bench.measure.layers import marks_for
from bench.measure.timers import (
    HOLD_CYCLES,
    LONGEST_HOLD_CYCLES,
    CudaTimer,
    Hold,
    WallTimer,
    timer_for,
)

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Clock:
    """Stands in for the module `time`; each call of the timed function takes so long."""

    def __init__(self, nanoseconds):
        self.now = 10**15
        self.nanoseconds = nanoseconds

    def perf_counter_ns(self):
        return self.now

    def work(self, argument):
        self.now += self.nanoseconds
        return argument


def test_the_wall_timer_adds_up_all_calls_and_returns_the_last_result(monkeypatch):
    clock = Clock(70)
    monkeypatch.setattr(timers, "time", clock)
    duration, result = WallTimer().time(clock.work, ["a", "b", "c"])
    assert duration == (210, None)
    assert result == "c"


def test_the_wall_timer_calls_once_for_every_argument_in_order():
    seen = []
    WallTimer().time(seen.append, [1, 2, 3])
    assert seen == [1, 2, 3]


def test_a_call_shorter_than_the_clock_can_tell_still_takes_a_nanosecond(monkeypatch):
    clock = Clock(0)
    monkeypatch.setattr(timers, "time", clock)
    assert WallTimer().time(clock.work, ["a"])[0].nanoseconds == 1


def test_the_wall_timer_agrees_with_the_systems_clock():
    started = time.perf_counter_ns()
    duration, _ = WallTimer().time(time.sleep, [0.02, 0.03])
    assert 50_000_000 <= duration.nanoseconds <= time.perf_counter_ns() - started


def test_an_error_of_the_timed_call_passes_through():
    def fail(argument):
        raise ValueError(argument)

    with pytest.raises(ValueError, match="boom"):
        WallTimer().time(fail, ["boom"])


def test_the_cpu_is_timed_by_the_wall_clock_and_the_timer_says_so():
    timer = timer_for(torch.device("cpu"))
    assert isinstance(timer, WallTimer)
    assert timer.words(print) == "perf_counter_ns; caches not flushed"


@on_cuda
def test_a_gpu_is_timed_by_its_own_events_and_by_the_wall_clock():
    timer = timer_for(torch.device("cuda"))
    assert isinstance(timer, CudaTimer)
    matrix = torch.ones((4096, 4096), device="cuda")
    duration, result = timer.time(lambda argument: argument @ argument, [matrix] * 3)
    assert result[0, 0] == 4096
    # 3 x 137 GFLOP take some milliseconds on any GPU; a launch alone takes some microseconds.
    assert 500_000 < duration.nanoseconds < 10**9
    assert duration.wall_nanoseconds > duration.nanoseconds


@on_cuda
def test_twice_the_work_takes_a_gpu_twice_as_long():
    timer = timer_for(torch.device("cuda"))
    matrix = torch.ones((4096, 4096), device="cuda")

    def nanoseconds(calls):
        return min(
            timer.time(lambda argument: argument @ argument, [matrix] * calls)[0].nanoseconds
            for _ in range(5)
        )

    nanoseconds(1)
    assert nanoseconds(8) / nanoseconds(4) == pytest.approx(2, rel=0.2)


class PretendedGpu:
    """Stands in for torch's CUDA and for the clock: one stream, a cycle of which is a nanosecond.

    A launch takes the host `launch_ns` and the stream as long as it is told.
    """

    def __init__(self, monkeypatch, launch_ns=10_000):
        self.now = 10**15  # on the host
        self.free_at = self.now  # when the stream has done all that is queued
        self.launch_ns = launch_ns
        self.holds = []
        self.flushes = 0
        gpu = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = max(gpu.now, gpu.free_at)

            def query(self):
                return gpu.now >= self.at

            def elapsed_time(self, other):
                return (other.at - self.at) * 1e-6

        monkeypatch.setattr(timers, "time", self)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "_sleep", self.hold)
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronize)
        monkeypatch.setattr(torch, "empty", lambda size, dtype, device: self)

    def perf_counter_ns(self):
        return self.now

    def zero_(self):
        self.flushes += 1
        self.run(150_000)

    def hold(self, cycles):
        self.holds.append(cycles)
        self.run(cycles)

    def run(self, nanoseconds):
        self.free_at = max(self.now, self.free_at) + nanoseconds

    def launch(self, nanoseconds):
        self.now += self.launch_ns
        self.run(nanoseconds)

    def synchronize(self, device=None):
        self.now = max(self.now, self.free_at)


CUDA = torch.device("cuda")
BASE = "CUDA events; stream held while launches are queued; L2 flushed before each call"


@pytest.fixture
def gpu(monkeypatch):
    return PretendedGpu(monkeypatch)


def launches(gpu, count, nanoseconds=2_000):
    def call(argument):
        for _ in range(count):
            gpu.launch(nanoseconds)
        return argument

    return call


def test_a_gpus_time_and_its_wall_time_are_without_the_hold(gpu):
    timer = timer_for(CUDA)
    call = launches(gpu, 30)  # queued within the hold: the launches cost nothing
    for count in (1, 2):
        assert timer.time(call, ["a"]) == ((60_000, 60_000), "a")
        assert gpu.holds == [HOLD_CYCLES] * count
        assert gpu.flushes == count
    assert timer.words(call) == BASE


def test_a_hold_that_ended_before_all_was_queued_is_doubled_for_that_call_alone(gpu):
    timer = timer_for(CUDA)
    long, short = launches(gpu, 500), launches(gpu, 1)  # 5 ms of launches for 1 ms of work
    first, _ = timer.time(long, ["a"])
    assert first.nanoseconds == first.wall_nanoseconds > 2_000_000  # gaps between launches
    for _ in range(20):
        last, _ = timer.time(long, ["a"])
        timer.time(short, ["a"])
    assert last == (1_000_000, 1_000_000)
    assert gpu.holds[:4] == [HOLD_CYCLES, 2 * HOLD_CYCLES, HOLD_CYCLES, 4 * HOLD_CYCLES]
    assert gpu.holds[-2:] == [4 * HOLD_CYCLES, HOLD_CYCLES]
    assert timer.words(long) == f"{BASE}; the hold ended too early in no more than 10% of samples"
    assert timer.words(short) == BASE


def test_a_call_that_waits_for_the_gpu_itself_is_not_held_longer_and_longer(gpu):
    timer = timer_for(CUDA)

    def wait(argument):
        gpu.launch(5_000)
        gpu.synchronize()

    for _ in range(8):
        assert timer.time(wait, ["a"])[0].nanoseconds == 5_000
    doubled = [HOLD_CYCLES << times for times in range(5)]
    assert doubled[-1] == LONGEST_HOLD_CYCLES
    assert gpu.holds == [*doubled, *[HOLD_CYCLES] * 3]
    assert timer.words(wait) == f"{BASE}; the hold ended too early in more than 10% of samples"


def test_a_gpu_takes_one_call_a_sample():
    assert CudaTimer.most_calls == 1
    assert WallTimer.most_calls is None


def test_passes_through_the_layers_are_held_longer_where_that_was_too_short(gpu):
    hold = Hold()
    found = []
    for _ in range(4):
        marks = marks_for(CUDA, hold)
        for layer in ("one", "two"):
            launches(gpu, 250)(None)
            marks(layer)
        found.append(marks.durations())
    assert gpu.holds == [HOLD_CYCLES, 2 * HOLD_CYCLES, 4 * HOLD_CYCLES, 4 * HOLD_CYCLES]
    assert found[0]["two"] > 2_000_000
    assert found[-1] == pytest.approx({"one": 500_000, "two": 500_000})
