"""The first call of a visit, which finds the caches as others left them."""

import pytest
from racing import AfterRounds, Race

from bench.measure.contestant import VISIT_NS
from bench.measure.timers import Duration

pytestmark = pytest.mark.usefixtures("unfrozen")


@pytest.fixture
def race(monkeypatch):
    return lambda *durations_ns: Race(monkeypatch, *durations_ns)


def test_a_visits_first_call_is_timed_by_itself(race):
    field = race(20_000)
    (contestant,) = field.contestants
    field.clock.time = lambda _, arguments: (Duration(1_000 * len(arguments)), "result")
    field.run(AfterRounds(3), rehearses=False)
    assert contestant.first_calls == [1_000] * 3
    assert contestant.rounds == [(8_000,) * 24] * 3
    assert field.spent.seconds["warm-up"] == 0
    assert field.spent.seconds["timed"] == pytest.approx(3 * (24 * 8 + 1) * 1e-6)


@pytest.mark.parametrize(("first_ns", "alone"), [(VISIT_NS, False), (VISIT_NS + 1, True)])
def test_the_only_call_of_a_long_visit_is_its_first_and_its_sample(race, first_ns, alone):
    field = race(first_ns)
    (contestant,) = field.contestants
    field.run(AfterRounds(3))
    assert field.calls[0] == (3 if alone else 6)
    assert contestant.first_calls == [nanoseconds for (nanoseconds,) in contestant.rounds]
    assert field.spent.seconds["timed"] == pytest.approx(field.calls[0] * first_ns * 1e-9, rel=1e-3)


def test_alike_calls_are_long_or_short_together(race):
    field = race(VISIT_NS, VISIT_NS + 1)
    field.run(AfterRounds(2))
    assert list(field.calls.values()) == [4, 4]


def test_a_rehearsals_first_call_is_not_kept(race):
    field = race(10_000)
    (contestant,) = field.contestants
    contestant.first_ns = 25_000
    field.run(AfterRounds(5))
    assert len(contestant.first_calls) == len(contestant.rounds) == 5


def test_a_clock_may_do_without_first_calls(race):
    field = race(20_000)
    field.clock.times_first_calls = False
    field.run(AfterRounds(3))
    (contestant,) = field.contestants
    assert contestant.first_calls == []
    assert field.calls[0] == 3 * 24 * 8
