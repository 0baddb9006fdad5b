import random
import time

import pytest
import torch

from bench.measure.contestant import Contestant, Race
from bench.measure.failures import DeadDeviceError
from bench.measure.parts import MOST_TURNS, part_times
from bench.measure.steps import Step
from bench.measure.timers import Duration


class CountingTimer:
    """A clock that stands still but for what the calls say that they took."""

    def __init__(self):
        self.now = 0

    def time(self, call, arguments):
        before = self.now
        for argument in arguments:
            call(argument)
        return Duration(self.now - before), None


@pytest.fixture
def timer():
    return CountingTimer()


def contestant(timer, whole, without, name="one"):
    def takes(nanoseconds):
        def call(*_):
            timer.now += nanoseconds

        return call

    def ablations():
        return {part: takes(nanoseconds) for part, nanoseconds in without.items()}

    step = Step(lambda: None, takes(whole), lambda _: None, ablations=ablations)
    return Contestant(name, 0, step, first_ns=300_000)


def times(contestants, timer, seconds=60.0, device="cpu"):
    order = random.Random(0)  # noqa: S311
    race = Race(
        contestants,
        timer,
        torch.device(device),
        order,
        lambda _: None,
        lambda *_: pytest.fail("its times stand without parts"),
    )
    return part_times(race, seconds)


def test_a_part_costs_what_a_call_takes_less_without_it(timer):
    found = times([contestant(timer, 100, {"gather": 70, "scatter": 90})], timer)
    assert found == {"one": {"gather": 30, "scatter": 10, "rest": 60}}


def test_a_part_never_costs_less_than_nothing(timer):
    found = times([contestant(timer, 100, {"gather": 130, "scatter": 10})], timer)
    assert found == {"one": {"gather": 0, "scatter": 90, "rest": 10}}


def test_who_has_no_parts_gets_none(timer):
    network = Contestant("network", 0, Step(lambda: None, print, print), first_ns=1)
    assert times([network, contestant(timer, 100, {})], timer) == {}


def test_a_failing_ablation_costs_nobody_anything(timer):
    def ill():
        raise RuntimeError("fell ill")

    sick = Contestant("sick", 0, Step(lambda: None, print, print, ablations=ill), first_ns=1)
    well = contestant(timer, 5, {"gather": 3}, "well")
    assert list(times([sick, well], timer)) == ["well"]


def test_turns_end_with_the_time_and_at_most_at_their_number(timer):
    calls = []
    one = contestant(timer, 1, {"gather": 1})
    one.step = Step(lambda: None, calls.append, print, ablations=lambda: {"gather": lambda: None})
    times([one], timer)
    assert len(calls) == (MOST_TURNS + 1) * one.calls
    calls.clear()
    started = time.perf_counter()
    times([one], timer, seconds=0.0)
    assert len(calls) == 2 * one.calls
    assert time.perf_counter() - started < 5


def test_a_call_that_kills_the_gpus_context_ends_the_process_before_others_are_blamed(
    timer, monkeypatch
):
    def dead(device):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    def fail():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", dead)
    sound = contestant(timer, 100, {"gather": 70})
    sick = Contestant("sick", 1, Step(lambda: None, print, print, ablations=fail), first_ns=1)
    assert times([sick, sound], timer) == {"one": {"gather": 30, "rest": 70}}
    with pytest.raises(DeadDeviceError, match="illegal memory access"):
        times([sick, sound], timer, device="cuda")
