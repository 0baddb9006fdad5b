import math

import numpy as np
import pytest
from scipy import stats

from bench.measure.stopping import FEWEST_ROUNDS, STABLE_ROUNDS, StoppingRule


def stop(precision, rounds):
    """Feed rounds until the rule says why to stop; return (rounds taken, why)."""
    rule = StoppingRule(precision)
    for count, seconds in enumerate(rounds, start=1):
        rule.add(list(seconds))
        reason = rule.finished()
        if reason is not None:
            return count, reason
    return len(rounds), None


def noise(rounds, implementations, scale, seed=0):
    generator = np.random.default_rng(seed)
    return np.exp(scale * generator.standard_normal((rounds, implementations)))


def test_without_noise_the_fewest_rounds_are_precise():
    assert stop(0.005, np.ones((50, 3))) == (FEWEST_ROUNDS, "precise")


def test_no_rule_is_met_before_the_fewest_rounds():
    rule = StoppingRule(1.0)
    for _ in range(FEWEST_ROUNDS - 1):
        rule.add([1.0, 2.0])
        assert rule.finished() is None


def test_drift_that_all_share_does_not_count():
    drift = np.linspace(1, 3, 50)[:, None]
    assert stop(0.005, drift * np.array([1.0, 5.0, 0.1])) == (FEWEST_ROUNDS, "precise")


def test_one_implementation_alone_is_judged_by_its_own_times():
    assert stop(0.005, np.ones((50, 1))) == (FEWEST_ROUNDS, "precise")
    assert stop(0.005, np.linspace(1, 3, 50)[:, None])[0] > FEWEST_ROUNDS


def test_one_noisy_implementation_among_steady_ones_keeps_it_going():
    seconds = np.ones((60, 4))
    seconds[:, 2] = noise(60, 1, 0.2)[:, 0]
    assert stop(0.005, seconds) == (60, None)
    steady = np.delete(seconds, 2, axis=1)
    assert stop(0.005, steady) == (FEWEST_ROUNDS, "precise")


def test_independent_noise_ends_as_precise_once_there_are_rounds_enough():
    # The half-width of the median's 99 % interval is 2.576 * 1.253 * scale * sqrt(2 / rounds).
    scale, precision = 0.02, 0.01
    expected = 2 * (2.576 * 1.253 * scale / precision) ** 2
    for seed in range(5):
        count, reason = stop(precision, noise(2000, 4, scale, seed))
        assert reason == "precise"
        assert expected / 2 < count < expected * 4


def test_a_wish_for_more_precision_takes_more_rounds():
    seconds = noise(4000, 4, 0.02)
    assert stop(0.005, seconds)[0] > 1.5 * stop(0.01, seconds)[0]


def test_a_ratio_that_drifts_ends_as_stable_because_more_rounds_do_not_help():
    drifting = np.stack([np.ones(1000), np.exp(np.linspace(0, 5, 1000))], axis=1)
    count, reason = stop(0.005, drifting)
    assert reason == "stable"
    assert STABLE_ROUNDS <= count < 200


@pytest.mark.parametrize(
    ("implementations", "share"),
    [
        (2, 0.05),
        (4, 0.05),
    ],
)
def test_independent_noise_is_not_taken_for_drift(implementations, share):
    reasons = [stop(1e-9, noise(200, implementations, 0.05, seed))[1] for seed in range(60)]
    assert reasons.count("stable") <= share * len(reasons)


def test_looks_grow_rarer_so_that_looking_often_does_not_find_precision_by_chance():
    rule = StoppingRule(0.0)
    looks = 0
    for seconds in noise(500, 2, 0.1):
        rule.add(list(seconds))
        known = len(rule._widths)
        rule.finished()
        looks += len(rule._widths) > known
    assert looks <= 2 + math.log(500 / FEWEST_ROUNDS, 1.25)


@pytest.mark.parametrize("rounds", [*range(FEWEST_ROUNDS, 40), 64, 100, 400])
def test_the_interval_of_the_median_covers_it_in_98_5_percent_of_cases_or_more(rounds):
    # Log-ratios 0, 1, ..., n - 1 in any order: the half-width tells which ranks are its ends, and
    # those give the coverage exactly, by the binomial distribution.
    rule = StoppingRule(0.0)
    values = np.random.default_rng(0).permutation(rounds).astype(float)
    for value in values:
        rule.add([math.exp(value), 1.0])
    rank = round((rounds - 1) / 2 - rule._widest())
    assert 1 - 2 * stats.binom.cdf(rank, rounds, 0.5) >= 0.985
