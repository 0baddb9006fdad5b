"""Counting instructions: the way to the counter is tried with one that every Linux has."""

import platform
import sys

import pytest

from bench.measure.contestant import Contestant
from bench.measure.instructions import Counter, instructions
from bench.measure.steps import Step

SOFTWARE, TASK_CLOCK = 1, 1


def software_counter():
    """Nanoseconds that this thread ran: no processor need count them."""
    try:
        return Counter(SOFTWARE, TASK_CLOCK)
    except OSError as error:
        pytest.skip(f"no perf events here: {error}")


def work(amount):
    return lambda *_: sum(range(amount))


def contestant(name, call):
    return Contestant(name, 0, Step(lambda: "argument", call, lambda _: None), first_ns=10**9)


def test_a_counter_counts_while_a_call_runs_and_not_before():
    with software_counter() as counter:
        long = min(counter.count(work(300_000)) for _ in range(3))
        short = min(counter.count(work(3_000)) for _ in range(3))
    assert 10 * short < long


def test_every_contestant_is_counted_and_one_that_fails_is_left_out():
    software_counter()

    def ill(_):
        raise RuntimeError("ill")

    beats = []
    entrants = [
        contestant("long", work(200_000)),
        contestant("ill", ill),
        contestant("short", work(9)),
    ]
    found = instructions(entrants, beats.append, software_counter)
    assert list(found) == ["long", "short"]
    assert found["short"] < found["long"]
    assert beats == [0, 0, 0]


def test_a_machine_without_a_counter_counts_nothing(monkeypatch):
    def refused():
        raise OSError("no such counter")

    assert instructions([contestant("any", work(1))], lambda _: None, refused) == {}
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert instructions([contestant("any", work(1))], lambda _: None) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="perf events are Linux's")
def test_the_processors_own_counter_is_used_where_there_is_one():
    """The same call takes the same number of instructions, give or take what Python does beside it."""
    try:
        counter = Counter()
    except OSError as error:
        pytest.skip(f"this machine counts no instructions: {error}")
    with counter:
        counts = [counter.count(work(100_000)) for _ in range(5)]
    assert max(counts) < 1.02 * min(counts)
