import time

import pytest
import torch

from bench.measure import timers
from bench.measure.timers import CudaTimer, WallTimer, timer_for

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
    duration, _ = WallTimer().time(time.sleep, [0.02, 0.03])
    assert 50_000_000 <= duration.nanoseconds < 500_000_000


def test_an_error_of_the_timed_call_passes_through():
    def fail(argument):
        raise ValueError(argument)

    with pytest.raises(ValueError, match="boom"):
        WallTimer().time(fail, ["boom"])


def test_the_cpu_is_timed_by_the_wall_clock_and_the_timer_says_so():
    timer = timer_for(torch.device("cpu"))
    assert isinstance(timer, WallTimer)
    assert timer.name == "perf_counter_ns; caches not flushed"


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
