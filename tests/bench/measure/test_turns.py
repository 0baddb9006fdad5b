import random
import threading
import time
from collections import Counter

import pytest

from bench.measure.turns import State, Turns, Turnstile

NAMES = ("base", "head")
PATIENCE = 120.0


@pytest.fixture
def turnstile(tmp_path):
    with Turnstile(tmp_path / "socket", NAMES, random.Random(0)) as opened:  # noqa: S311
        yield opened


class Worker(threading.Thread):
    """Works through phases of so many visits, and writes down when it does."""

    def __init__(self, turnstile, name, visits, log):
        super().__init__(daemon=True)
        self.turnstile = turnstile
        self.side = name
        self.visits = visits
        self.log = log

    def run(self):
        turns = Turns(str(self.turnstile.path), self.side, lambda: None)
        turns.meet()
        for phase, count in enumerate(self.visits):
            turns.meet()
            for _ in range(count):
                self.log.append((self.side, phase, "begins"))
                time.sleep(0.001)
                self.log.append((self.side, phase, "ends"))
                turns.wait()
        self.turnstile.leave(self.side)
        turns.close()


def finish(*workers):
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()


def test_only_one_works_at_a_time_and_both_get_the_same_number_of_visits(turnstile):
    log = []
    finish(*(Worker(turnstile, name, [30, 20], log) for name in NAMES))
    assert len(log) == 2 * 2 * 50
    for begin, end in zip(log[::2], log[1::2], strict=True):
        assert (begin[:2], begin[2], end[2]) == (end[:2], "begins", "ends")


def test_visits_come_in_pairs_of_random_order(turnstile):
    log = []
    finish(*(Worker(turnstile, name, [40], log) for name in NAMES))
    visits = [side for side, _, what in log if what == "begins"]
    pairs = [tuple(visits[start : start + 2]) for start in range(0, 78, 2)]
    # Taking a turn ends a visit, so that pairs may be shifted by one against the order drawn.
    assert max(Counter(visits[:place])["base"] - place / 2 for place in range(80)) <= 2
    assert len(set(pairs)) > 1


def test_a_phase_begins_for_both_when_the_longer_one_has_ended(turnstile):
    log = []
    finish(Worker(turnstile, "base", [3, 5], log), Worker(turnstile, "head", [30, 5], log))
    first_of_second = next(place for place, entry in enumerate(log) if entry[1] == 1)
    assert {entry[1] for entry in log[:first_of_second]} == {0}
    assert sum(entry == ("head", 0, "ends") for entry in log[:first_of_second]) == 30


def test_nobody_goes_before_both_have_come(turnstile):
    log = []
    early = Worker(turnstile, "base", [1], log)
    early.start()
    time.sleep(0.1)
    assert not log
    finish(Worker(turnstile, "head", [1], log))
    early.join(PATIENCE)
    assert len(log) == 4


def test_who_has_left_is_not_waited_for(turnstile):
    log = []
    turnstile.leave("head")
    finish(Worker(turnstile, "base", [5, 5], log))
    assert len(log) == 20


def test_who_died_is_waited_for_until_it_comes_again(turnstile):
    log = []
    survivor = Worker(turnstile, "base", [4], log)
    dying = Turns(str(turnstile.path), "head", lambda: None)
    survivor.start()
    dying.meet()
    dying.close()
    time.sleep(0.1)
    assert not [entry for entry in log if entry[0] == "base" and entry[2] == "ends"][4:]
    finish(Worker(turnstile, "head", [4], log))
    survivor.join(PATIENCE)
    assert not survivor.is_alive()


def test_who_comes_again_at_once_is_not_taken_for_gone(turnstile, monkeypatch):
    inner, came = turnstile._become, threading.Event()

    def become(name, state):
        if state is State.ABSENT:  # the thread of what is gone comes to it late
            came.wait(PATIENCE)
        inner(name, state)
        if state is State.MEETING:
            came.set()

    monkeypatch.setattr(turnstile, "_become", become)
    Turns(str(turnstile.path), "head", lambda: None).close()
    time.sleep(0.1)
    again = Worker(turnstile, "head", [2], [])
    again.start()
    came.wait(PATIENCE)
    time.sleep(0.1)
    finish(Worker(turnstile, "base", [2], []))
    again.join(PATIENCE)
    assert not again.is_alive()


def test_who_waits_shows_signs_of_life(turnstile, monkeypatch):
    monkeypatch.setattr("bench.measure.turns.BEAT_SECONDS", 0.01)
    beats = []
    turns = Turns(str(turnstile.path), "base", lambda: beats.append(1))
    waiting = threading.Thread(target=turns.wait, daemon=True)
    waiting.start()
    end = time.monotonic() + PATIENCE
    while len(beats) <= 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    turnstile.leave("head")
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    turns.close()


def test_a_turnstile_that_closes_ends_the_wait(tmp_path):
    turnstile = Turnstile(tmp_path / "socket", NAMES, random.Random(0))  # noqa: S311
    with turnstile:
        turns = Turns(str(turnstile.path), "base", lambda: None)
    with pytest.raises(OSError, match=r"."):
        turns.wait()
    turns.close()


def test_strangers_are_turned_away(turnstile):
    stranger = Turns(str(turnstile.path), "somebody else", lambda: None)
    with pytest.raises(OSError, match=r"."):
        stranger.wait()
    stranger.close()
