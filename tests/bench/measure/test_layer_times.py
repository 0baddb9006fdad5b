import random
import time

import pytest
import torch

from bench.measure.contestant import Contestant, Race
from bench.measure.layers import MOST_PASSES, CudaMarks, WallMarks, layer_times, marks_for
from bench.measure.steps import Step
from bench.measure.timers import Hold, WallTimer, timer_for
from bench.phases import Phase


class Layered:
    """A contestant whose layers take known times on a clock that the test moves."""

    def __init__(self, name, number, durations, clock, fails_at=None):
        self.durations = durations
        self.clock = clock
        self.fails_at = fails_at
        self.passes = 0
        step = Step(lambda: "argument", self._never, self._never, marked=self._pass)
        self.contestant = Contestant(name, number, step, first_ns=1)

    def _never(self, _):
        raise AssertionError("only the marked call is made")

    def _pass(self, argument, mark):
        assert argument == "argument"
        if self.passes == self.fails_at:
            raise RuntimeError("fell ill")
        scale = (3, 1, 2)[self.passes % 3]
        self.passes += 1
        for layer, duration in self.durations:
            self.clock.now += duration * scale
            mark(layer)


class Clock:
    now = 1000

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bench.measure.layers.time.perf_counter_ns", clock)
    return clock


def times(subjects, seconds=60.0, dropped=None, beats=None):
    contestants = [subject.contestant for subject in subjects]
    race = Race(
        contestants,
        WallTimer(),
        torch.device("cpu"),
        random.Random(0),  # noqa: S311
        (beats if beats is not None else []).append,
        lambda who, error: dropped.append((who.name, str(error))),
    )
    return layer_times(race, seconds)


def test_a_layers_time_is_the_median_over_passes_from_the_mark_before_it(clock):
    first = Layered("first", 0, [("encode", 5), ("conv", 100), ("relu", 7)], clock)
    second = Layered("second", 1, [("conv", 40), ("relu", 2)], clock)
    found = times([first, second])
    assert found == {
        "first": {"encode": 10, "conv": 200, "relu": 14},
        "second": {"conv": 80, "relu": 4},
    }
    assert list(found["first"]) == ["encode", "conv", "relu"]


def test_a_layer_that_is_marked_twice_took_both_times(clock):
    marks = WallMarks()
    for layer, duration in (("conv", 30), ("last", 20), ("last", 4)):
        clock.now += duration
        marks(layer)
    assert marks.durations() == {"conv": 30, "last": 24}


def test_passes_are_interleaved_and_end_at_nine(clock):
    subjects = [Layered(name, number, [("conv", 1)], clock) for number, name in enumerate("abc")]
    beats = []
    times(subjects, beats=beats)
    assert [subject.passes for subject in subjects] == [MOST_PASSES] * 3
    rounds = [beats[start : start + 3] for start in range(0, len(beats), 3)]
    assert all(sorted(each) == [0, 1, 2] for each in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_there_is_one_pass_where_the_time_is_up_at_once(clock):
    subject = Layered("slow", 0, [("conv", 1)], clock)
    times([subject], seconds=0.0)
    assert subject.passes == 1


def test_passes_stop_when_the_time_is_up(monkeypatch):
    subject = Layered("slow", 0, [("conv", 1)], Clock())
    moments = iter([0.0, 1.0, 2.0, 3.5])
    monkeypatch.setattr("bench.measure.layers.time.perf_counter", lambda: next(moments))
    times([subject], seconds=3.0)
    assert subject.passes == 3


def test_whoever_fails_is_dropped_and_the_others_go_on(clock):
    sick = Layered("sick", 0, [("conv", 1)], clock, fails_at=2)
    sound = Layered("sound", 1, [("conv", 1)], clock)
    dropped = []
    found = times([sick, sound], dropped=dropped)
    assert dropped == [("sick", "fell ill")]
    assert list(found) == ["sound"]
    assert sound.passes == MOST_PASSES


def test_the_wall_clock_sees_real_time_pass():
    marks = WallMarks()
    time.sleep(0.002)
    marks("sleep")
    assert marks.durations()["sleep"] >= 2e6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpus_layers_are_timed_by_its_own_events():
    marks = marks_for(timer_for(torch.device("cuda"), Phase.FORWARD), Hold())
    assert isinstance(marks, CudaMarks)
    matrix = torch.ones((4096, 4096), device="cuda")
    for calls, layer in ((1, "one"), (4, "four")):
        for _ in range(calls):
            matrix @ matrix
        marks(layer)
    durations = marks.durations()
    assert durations["four"] > 2 * durations["one"] > 0


def test_the_cpus_layers_are_timed_by_the_wall_clock():
    assert isinstance(marks_for(WallTimer(), Hold()), WallMarks)
