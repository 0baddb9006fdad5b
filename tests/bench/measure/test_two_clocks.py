"""Rounds on a GPU, where one clock times and the other looks on; the GPU is a pretended one."""

import random

import pytest
import torch
from racing import MILLISECOND, AfterRounds, Race

from bench.measure import rounds
from bench.measure.contestant import hidden_work
from bench.measure.timers import Duration

pytestmark = pytest.mark.usefixtures("unfrozen")
OTHER = Duration(3 * MILLISECOND, after_ns=MILLISECOND)


@pytest.fixture
def race(monkeypatch):
    """Contestants whose samples are told by a list, and by another clock."""

    def make(*durations_ns, samples=(), other=OTHER):
        field = Race(monkeypatch, *durations_ns)
        told = iter(samples)
        field.clock.most_calls = 1
        field.clock.times_first_calls = False
        field.clock.is_coarse = True
        field.clock.time = lambda call, arguments: (next(told), call(*arguments))
        field.clock.time_by_other = lambda call, arguments: (other, call(*arguments))
        return field

    return make


def durations(*nanoseconds, **more):
    return [Duration(each, **more) for each in nanoseconds]


def test_the_other_clock_looks_on_once_a_round(race):
    field = race(3 * MILLISECOND, samples=durations(*[MILLISECOND] * 6))
    field.contestants[0].samples = 2
    field.run(AfterRounds(3), rehearses=False)
    samples = field.contestants[0].result(1, "precise", field.clock)
    assert samples.rounds == ((MILLISECOND, MILLISECOND),) * 3
    assert (samples.wall_rounds, samples.device_rounds) == (((3 * MILLISECOND,),) * 3, ())
    assert field.calls == {0: 9}
    assert field.spent.seconds["timed"] == pytest.approx(3 * 5e-3)


def test_where_the_wall_clock_times_the_events_look_on(race):
    field = race(3 * MILLISECOND, samples=durations(*[MILLISECOND] * 6))
    field.clock.is_coarse = False
    field.contestants[0].samples = 2
    field.run(AfterRounds(3), rehearses=False)
    samples = field.contestants[0].result(1, "precise", field.clock)
    assert (samples.wall_rounds, samples.device_rounds) == ((), ((3 * MILLISECOND,),) * 3)


def test_of_a_coarse_clock_the_mean_of_a_rounds_samples_counts(race):
    field = race(3 * MILLISECOND, samples=durations(4_096, 5_120, 5_120, 5_120, 5_120, 5_120))
    field.contestants[0].samples = 2
    rule = AfterRounds(3)
    field.run(rule, rehearses=False)
    assert rule.told == [[4_608], [5_120], [5_120]]
    assert field.contestants[0].result(0, "precise", field.clock).is_coarse


def test_samples_that_began_before_all_was_queued_are_counted(race):
    told = [*durations(10, 10), *durations(10, 10, 10, was_held=False), *durations(10)]
    field = race(3 * MILLISECOND, samples=told)
    field.contestants[0].samples = 2
    field.run(AfterRounds(3), rehearses=False)
    assert field.contestants[0].result(0, "precise", field.clock).late == 3


def test_of_a_rehearsal_nothing_is_kept(race):
    told = [*durations(MILLISECOND, was_held=False), *durations(*[MILLISECOND] * 24)]
    field = race(8 * MILLISECOND, samples=told)
    field.run(AfterRounds(3))
    samples = field.contestants[0].result(0, "precise", field.clock)
    assert samples.rounds == ((MILLISECOND,) * 8,) * 3
    assert samples.wall_rounds == ((3 * MILLISECOND,),) * 3
    assert samples.late == 0
    assert len(field.contestants[0].after_ns) == 3
    assert field.spent.seconds["warm-up"] == pytest.approx(4e-3)


@pytest.mark.parametrize(
    ("told", "after", "is_hidden"),
    [
        (MILLISECOND, MILLISECOND, False),  # what was queued
        (MILLISECOND, 0, False),  # the host was slower
        (5_000, 150_000, False),  # waiting for the GPU takes some time of its own
        (5_000, 800_000, True),
        (MILLISECOND, 5 * MILLISECOND, True),
    ],
)
def test_work_that_the_events_do_not_see_is_found(race, told, after, is_hidden):
    other = Duration(max(told, after), after_ns=after)
    field = race(8 * MILLISECOND, samples=durations(*[told] * 3), other=other)
    field.run(AfterRounds(3), rehearses=False)
    reason = hidden_work(field.contestants[0], field.clock)
    assert (reason is not None) == is_hidden
    if is_hidden:
        assert f"works for {after / 1000:,.0f} µs after" in reason
        assert f"tell of {told / 1000:,.0f} µs" in reason


def test_a_single_round_in_which_the_gpu_took_long_is_held_against_nobody(race):
    field = race(8 * MILLISECOND, samples=durations(*[MILLISECOND] * 5))
    after = iter([MILLISECOND, MILLISECOND, 50 * MILLISECOND, MILLISECOND, MILLISECOND])
    field.clock.time_by_other = lambda call, arguments: (
        Duration(MILLISECOND, after_ns=next(after)),
        call(*arguments),
    )
    field.run(AfterRounds(5), rehearses=False)
    assert hidden_work(field.contestants[0], field.clock) is None


def test_where_the_wall_clock_times_nothing_can_be_hidden(race):
    field = race(8 * MILLISECOND, samples=durations(*[5_000] * 3))
    field.clock.is_coarse = False
    field.run(AfterRounds(3), rehearses=False)
    assert hidden_work(field.contestants[0], field.clock) is None


def test_memory_is_set_aside_where_calls_allocate(monkeypatch):
    asked = []

    def empty(size, dtype, device):
        asked.append((size, dtype, device))

    monkeypatch.setattr(torch, "empty", empty)
    rounds._blocks(random.Random(0), torch.device("cuda", 1))  # noqa: S311
    assert {(dtype, device) for _, dtype, device in asked} == {
        (torch.uint8, torch.device("cuda", 1))
    }
    low, high = (2**power for power in rounds.BLOCK_BYTES)
    assert all(low <= size <= high for size, _, _ in asked)
    assert len(asked) == rounds.BLOCKS
