from contextlib import suppress

import pytest

from bench.measure import spent as module
from bench.measure.spent import Spent


class Clock:
    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_is_counted_within_something_else_is_counted_once(clock):
    spent = Spent()
    with spent.on("oracle"):
        clock.now += 1
        with spent.on("tuning"):
            clock.now += 10
        clock.now += 2
        spent.add("timed", 0.5)
    assert {what: seconds for what, seconds in spent.seconds.items() if seconds} == {
        "oracle": 2.5,
        "tuning": 10,
        "timed": 0.5,
    }


def test_what_fails_has_taken_its_time(clock):
    spent = Spent()
    with suppress(ValueError), spent.on("oracle"):
        clock.now += 3
        raise ValueError
    assert spent.seconds["oracle"] == 3
