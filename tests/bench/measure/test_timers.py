import time

import pytest
import torch
from pretended_gpu import PretendedGpu, launches

from bench.measure import timers
from bench.measure.layers import marks_for
from bench.measure.timers import (
    FIRST_HOLD_CYCLES,
    HOLD_CYCLES_EACH,
    IN_VAIN,
    LONGEST_HOLD_CYCLES,
    REMEMBERED,
    SHORTEST_HOLD_CYCLES,
    GpuTimer,
    Hold,
    WallTimer,
    timer_for,
)
from bench.phases import Phase

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
    assert duration == (210, True, None)
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
    for phase in Phase:
        timer = timer_for(torch.device("cpu"), phase)
        assert isinstance(timer, WallTimer)
        assert timer.words == "perf_counter_ns; caches not flushed"
        assert timer.time_by_other is None


@on_cuda
@pytest.mark.parametrize("phase", [Phase.FORWARD, Phase.TRAIN_STEP])
def test_a_gpu_is_timed_by_its_own_events_and_by_the_wall_clock(phase):
    timer = timer_for(torch.device("cuda"), phase)
    matrix = torch.ones((4096, 4096), device="cuda")
    first, result = timer.time(lambda argument: argument @ argument, [matrix] * 3)
    other, _ = timer.time_by_other(lambda argument: argument @ argument, [matrix] * 3)
    assert result[0, 0] == 4096
    # 3 x 137 GFLOP take some milliseconds on any GPU; a launch alone takes some microseconds.
    assert 500_000 < first.nanoseconds < 10**9
    assert 0.3 < other.nanoseconds / first.nanoseconds < 3


@on_cuda
def test_twice_the_work_takes_a_gpu_twice_as_long():
    timer = timer_for(torch.device("cuda"), Phase.FORWARD)
    matrix = torch.ones((4096, 4096), device="cuda")

    def nanoseconds(calls):
        return min(
            timer.time(lambda argument: argument @ argument, [matrix] * calls)[0].nanoseconds
            for _ in range(5)
        )

    nanoseconds(1)
    assert nanoseconds(8) / nanoseconds(4) == pytest.approx(2, rel=0.2)


CUDA = torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch):
    return PretendedGpu(monkeypatch)


def launches_of(gpu, counts):
    def call(argument):
        launches(gpu, next(counts))(argument)

    return call


@pytest.fixture
def timer(gpu):
    return timer_for(CUDA, Phase.FORWARD)


def test_events_tell_a_gpus_own_time_whatever_queueing_takes(gpu, timer):
    call = launches(gpu, 30)  # queued within the hold: the launches cost nothing
    for count in (1, 2):
        assert timer.time(call, ["a"]) == ((60_000, True, None), "a")
        assert gpu.flushes == count
    assert "CUDA events" in timer.words


def test_the_wall_clock_tells_what_a_caller_waits_for_and_nothing_is_held(gpu, timer):
    call = launches(gpu, 30, 12_000)  # of 10 µs of the host each, and longer on the device
    assert timer.time_by_other(call, ["a"]) == ((370_000, True, 70_000), "a")
    assert gpu.holds == []
    assert gpu.flushes == 1


@pytest.mark.parametrize("phase", Phase)
def test_kernels_are_timed_by_events_and_what_may_wait_for_the_gpu_by_the_wall_clock(gpu, phase):
    timer = timer_for(CUDA, phase)
    by_events, by_wall_clock = (20_000, True, None), (102_000, True, 2_000)
    clocks = [timer.time(launches(gpu, 10), ["a"])[0]]
    clocks.append(timer.time_by_other(launches(gpu, 10), ["a"])[0])
    if phase in {Phase.FORWARD, Phase.BACKWARD}:
        assert clocks == [by_events, by_wall_clock]
    else:
        assert clocks == [by_wall_clock, by_events]
    assert ("events" in timer.words) == timer.is_coarse == (clocks[0] == by_events)


def test_a_hold_lasts_twice_as_long_as_queueing_lately_took(gpu, timer):
    times = iter([30, 100, *[1] * REMEMBERED, 1])
    call = launches_of(gpu, times)
    for _ in range(REMEMBERED + 3):
        assert timer.time(call, ["a"])[0].was_held
    long = HOLD_CYCLES_EACH * 1_000_000
    assert gpu.holds == [
        FIRST_HOLD_CYCLES,
        HOLD_CYCLES_EACH * 300_000,
        *[long] * REMEMBERED,
        SHORTEST_HOLD_CYCLES,
    ]


def test_a_hold_that_ended_before_all_was_queued_is_longer_for_that_call_alone(gpu, timer):
    long, short = launches(gpu, 500), launches(gpu, 1)  # 5 ms of launches for 1 ms of work
    first, _ = timer.time(long, ["a"])
    assert not first.was_held
    assert first.nanoseconds > 2_000_000  # gaps between launches
    for _ in range(3):
        last, _ = timer.time(long, ["a"])
        timer.time(short, ["a"])
    assert last == (1_000_000, True, None)
    queueing = HOLD_CYCLES_EACH * 5_000_000
    shortest = SHORTEST_HOLD_CYCLES
    assert gpu.holds[1:] == [queueing, FIRST_HOLD_CYCLES, queueing, shortest, queueing, shortest]


def test_a_call_that_waits_for_the_gpu_itself_is_not_held_in_the_end(gpu, timer):
    def wait(argument):
        gpu.launch(5_000)
        gpu.synchronize()
        gpu.now += 900_000  # of the host, which knows only now what is to come
        gpu.launch(5_000)

    found = [timer.time(wait, ["a"])[0] for _ in range(8)]
    assert not any(each.was_held for each in found)
    assert max(gpu.holds) == LONGEST_HOLD_CYCLES
    assert gpu.holds.count(LONGEST_HOLD_CYCLES) == IN_VAIN
    assert len(gpu.holds) < len(found)  # the last were not held
    assert found[-1].nanoseconds == 930_000  # with all that the host took


def test_one_stall_does_not_end_the_holding(gpu, timer):
    stalls = iter([0, 0, 40_000_000, 0, 0])

    def call(argument):
        gpu.now += next(stalls)
        gpu.launch(5_000)

    found = [timer.time(call, ["a"])[0] for _ in range(5)]
    assert [each.was_held for each in found] == [True, True, False, True, True]
    assert gpu.holds[-2:] == [LONGEST_HOLD_CYCLES, SHORTEST_HOLD_CYCLES]


def test_stalls_that_are_not_in_a_row_do_not_end_the_holding(gpu, timer):
    stalls = iter([40_000_000, 40_000_000, 0] * 4)  # the second outlasts the longest hold

    def call(argument):
        gpu.now += next(stalls)
        gpu.launch(5_000)

    found = [timer.time(call, ["a"])[0].was_held for _ in range(12)]
    assert found == [False, False, True] * 4


def test_a_gpu_takes_one_call_a_sample():
    assert GpuTimer.most_calls == 1
    assert WallTimer.most_calls is None


def test_passes_through_the_layers_are_held_longer_where_that_was_too_short(gpu, timer):
    hold = Hold()
    found = []
    for _ in range(2):
        marks = marks_for(timer, hold)
        for layer in ("one", "two"):
            launches(gpu, 250)(None)
            marks(layer)
        found.append(marks.durations())
    assert gpu.holds == [FIRST_HOLD_CYCLES, HOLD_CYCLES_EACH * 5_000_000]
    assert gpu.flushes == 2
    assert found[0]["two"] > 2_000_000
    assert found[-1] == pytest.approx({"one": 500_000, "two": 500_000})


def test_passes_of_a_phase_by_the_wall_clock_hold_nothing_and_show_what_the_host_takes(gpu):
    marks = marks_for(timer_for(CUDA, Phase.FORWARD_COLD), Hold())
    for layer in ("one", "two"):
        launches(gpu, 10)(None)
        marks(layer)
    assert gpu.holds == []
    assert marks.durations() == pytest.approx({"one": 102_000, "two": 100_000})
