"""How often intervals and verdicts err, in data whose truth is known: the figures of the documentation.

`pytest -s -m slow tests/bench/statistics/test_error_rates.py` prints them.
"""

import numpy as np
import pytest

from bench.statistics.intervals import Ratio, _ratio
from bench.statistics.random_effects import mean_of
from bench.statistics.verdicts import Verdict, corrected, verdict

ROUNDS = 20
BETWEEN = (0.0, 0.01, 0.03)
WITHIN = (0.003, 0.03)


def compared(generator, processes, between, within=0.025, rounds=None):
    """A ratio of two that are the same, from processes that differ by `between`."""
    rounds = rounds or [ROUNDS] * processes
    offsets = generator.normal(0, between, processes)
    drawn = zip(offsets, rounds, strict=True)
    return _ratio(
        mean_of([generator.normal(each, within, own) for each, own in drawn]), sum(rounds)
    )


def has_alarm(ratios: list[Ratio]):
    """Whether any of them, judged together, is told faster or slower."""
    verdicts = [verdict(each, p) for each, p in zip(ratios, corrected(ratios), strict=True)]
    return any(each in {Verdict.FASTER, Verdict.SLOWER} for each in verdicts)


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "least"), [(2, 0.92), (3, 0.95), (5, 0.96), (8, 0.97)])
def test_how_often_an_interval_covers_the_truth(processes, least):
    generator = np.random.default_rng(processes)
    covered = []
    for between in BETWEEN:
        for within in WITHIN:
            found = [compared(generator, processes, between, within) for _ in range(3000)]
            covered.append(np.mean([e.interval.low <= 1 <= e.interval.high for e in found]))
    print(f"{processes} processes: {min(covered):.1%} to {max(covered):.1%} of intervals")
    assert min(covered) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rounds", "least"),
    [([3, 60], 0.89), ([3, 60, 60], 0.93), ([3, 3, 60], 0.91), ([3, 70, 70, 70, 70], 0.95)],
    ids=str,
)
def test_how_often_it_does_where_processes_are_starved_of_rounds(rounds, least):
    generator = np.random.default_rng(rounds)
    covered = []
    for between in BETWEEN:
        for within in WITHIN:
            found = [compared(generator, len(rounds), between, within, rounds) for _ in range(3000)]
            covered.append(np.mean([e.interval.low <= 1 <= e.interval.high for e in found]))
    print(f"rounds {rounds}: {min(covered):.1%} to {max(covered):.1%} of intervals")
    assert min(covered) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "comparisons", "most"),
    [
        *((2, few, 0.07) for few in (1, 2)),
        *((3, few, 0.035) for few in (1, 2)),
        *((5, few, 0.015) for few in (1, 2)),
        *((processes, more, 0.02) for processes in (2, 3, 5) for more in (3, 7)),
    ],
)
@pytest.mark.parametrize("uneven", [0.0, 0.8])
def test_how_often_few_comparisons_raise_a_false_alarm(processes, comparisons, most, uneven):
    generator = np.random.default_rng([processes, comparisons])
    runs = 2000
    alarms = 0
    for _ in range(runs):
        spreads = 0.03 * np.exp(generator.normal(0, uneven, comparisons))
        alarms += has_alarm([compared(generator, processes, each) for each in spreads])
    print(
        f"{comparisons} comparisons, {processes} processes that differ by 3 %"
        f"{' unevenly' if uneven else ''}: a false verdict in {alarms / runs:.2%} of runs"
    )
    assert alarms / runs <= most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("freedom", "most"), [(None, 2), (5, 30), (3, 100)], ids=["normal", "t with 5", "t with 3"]
)
def test_how_many_archives_in_which_nothing_changed_have_a_step(freedom, most):
    pytest.importorskip("ruptures")
    from bench.history.steps import find_steps, significant  # noqa: PLC0415

    generator = np.random.default_rng(7)
    archives, series, nights = 200, 100, 40
    wrong = 0
    for _ in range(archives):
        shape = series, nights
        noise = (
            generator.normal(size=shape)
            if freedom is None
            else generator.standard_t(freedom, shape)
        )
        found = significant([find_steps(each) for each in np.exp(0.02 * noise)])
        wrong += any(found)
    print(f"of {archives} archives of {series} series over {nights} nights, {wrong} have a step")
    assert wrong <= most
