"""Contestants of known durations, in rounds on a clock of their own."""

import random

import torch

from bench.measure import contestant, rounds
from bench.measure.contestant import Contestant
from bench.measure.rounds import run_rounds
from bench.measure.spent import Spent
from bench.measure.steps import Step
from bench.measure.timers import Duration

MILLISECOND = 1_000_000
MOST_CALLS = (64, 1024)


class Clock:
    """A wall clock that only moves when a call is timed, and a timer that reads it."""

    most_calls = None
    is_coarse = False
    times_first_calls = True
    time_by_other = None

    def __init__(self):
        self.seconds = 0.0

    def perf_counter(self):
        return self.seconds

    def time(self, call, arguments):
        result = None
        start = self.seconds
        for argument in arguments:
            result = call(argument)
        return Duration(max(1, round((self.seconds - start) * 1e9))), result


class AfterRounds:
    """A rule that is met after so many rounds, and keeps what it was told."""

    def __init__(self, count):
        self.count = count
        self.told = []

    def add(self, seconds):
        self.told.append(seconds)

    def finished(self):
        return "precise" if len(self.told) >= self.count else None

    def restart(self):
        self.restarts = getattr(self, "restarts", 0) + 1


class Race:
    """Contestants of known durations on a clock of their own."""

    def __init__(self, monkeypatch, *durations_ns):
        self.clock = Clock()
        monkeypatch.setattr(rounds, "time", self.clock)
        self.visits = []
        self.calls = dict.fromkeys(range(len(durations_ns)), 0)
        self.prepared = dict.fromkeys(range(len(durations_ns)), 0)
        self.failures = {}
        self.dropped = []
        self.spent = Spent()
        self.contestants = [
            Contestant(f"c{number}", number, self.step(number, duration), duration)
            for number, duration in enumerate(durations_ns)
        ]

    def step(self, number, duration):
        def prepare():
            self.prepared[number] += 1
            return f"argument {number}"

        def call(argument):
            assert argument == f"argument {number}"
            self.calls[number] += 1
            if self.calls[number] == self.failures.get(number):
                raise RuntimeError(f"boom {number}")
            self.clock.seconds += duration * 1e-9
            return f"result {number}"

        return Step(prepare, call, lambda result: None, MOST_CALLS)

    def run(self, rule, seconds=1e9, seed=0, **more):
        race = contestant.Race(
            self.contestants,
            self.clock,
            torch.device("cpu"),
            random.Random(seed),  # noqa: S311
            self.visits.append,
            lambda who, error: self.dropped.append((who.name, str(error))),
        )
        return run_rounds(race, seconds=seconds, rule=rule, spent=self.spent, **more)

    def orders(self, size):
        return [
            tuple(self.visits[start : start + size]) for start in range(0, len(self.visits), size)
        ]
