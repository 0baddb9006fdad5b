"""One mean from rounds within processes: which process counts for how much, and how sure it is."""

import numpy as np
import pytest

from bench.statistics.random_effects import (
    Mean,
    Processes,
    _variance_of_median,
    join,
    mean_of,
    quantile,
)

REPEATS = 300


@pytest.mark.parametrize("rounds", [3, 10, 11, 40])
def test_the_variance_of_a_median_is_that_of_resamples(rounds):
    values = np.sort(np.random.default_rng(23).normal(0, 0.1, rounds))
    drawn = np.random.default_rng(24).choice(values, size=(20_000, rounds))
    bootstrapped = np.median(drawn, axis=1).var()
    assert _variance_of_median(values) == pytest.approx(bootstrapped, rel=0.15)


def test_a_process_that_was_starved_of_rounds_counts_for_less():
    generator = np.random.default_rng(41)
    good = [generator.normal(0, 0.01, 50) for _ in range(4)]
    starved = np.array([0.5, 0.6, 0.0])
    alone, both = mean_of(good), mean_of([*good, starved])
    assert abs(both.value - alone.value) < 0.1  # a plain mean moves by 0.1
    assert mean_of([*good, np.full(50, 0.5)]).value > 0.09


def test_one_of_many_processes_that_went_astray_is_left_out_and_one_of_few_is_not():
    generator = np.random.default_rng(47)
    good = [generator.normal(0, 0.01, 50) for _ in range(11)]
    astray = generator.normal(0.4, 0.01, 50)
    assert abs(mean_of([*good, astray]).value) < 0.005
    assert mean_of([*good[:4], astray]).half_width > 0.3


def test_processes_that_happen_to_agree_do_not_make_the_interval_vanish():
    generator = np.random.default_rng(43)
    covered = 0
    for _ in range(REPEATS):
        offsets = generator.normal(0, 0.01, 3)
        mean = mean_of([offset + generator.normal(0, 0.01, 4) for offset in offsets])
        covered += abs(mean.value) <= mean.half_width
    assert covered / REPEATS >= 0.97


def test_processes_with_equally_many_rounds_are_a_balanced_analysis_of_variance():
    medians, within, rounds = [0.0, 0.02, 0.07], 2e-4, 30
    found = join(Processes(medians, [within] * 3, rounds))
    of_means, of_rounds = np.var(medians, ddof=1) / 3, within / 3
    between = of_means - of_rounds
    assert found.value == pytest.approx(0.03)
    assert found.variance == pytest.approx(of_means)
    freedom = of_means**2 / (between**2 / 2 + of_rounds**2 / (rounds - 3))
    assert found.freedom == pytest.approx(freedom)
    assert (found.told, found.told_freedom) == (pytest.approx(of_means), 2)


def test_what_processes_tell_is_no_less_than_what_rounds_explain():
    found = join(Processes([0.0, 0.001, 0.002], [0.01] * 3, 30))
    assert found.told == pytest.approx(0.01 / 3)


def test_processes_of_unequal_noise_are_weighed_by_it_and_by_what_they_differ_by():
    medians, within = np.array([0.0, 0.1, 0.5]), np.array([1e-4, 1e-3, 0.04])

    def between(weights):
        total, centre = weights.sum(), np.average(medians, weights=weights)
        spread = weights @ (medians - centre) ** 2
        explained = weights @ within - weights**2 @ within / total
        return (spread - explained) / (total - (weights**2).sum() / total)

    # DerSimonian and Kacker 2007, their equation 8 with equal weights, then with those that follow.
    weights = 1 / (between(1 / (between(np.ones(3)) + within)) + within)
    found = join(Processes(medians.tolist(), within.tolist(), 30))
    assert found.value == pytest.approx(np.average(medians, weights=weights))


def test_rounds_of_one_process_leave_one_degree_of_freedom_less():
    assert mean_of([np.array([0.1, 0.2])]).freedom == 1
    assert mean_of([np.linspace(0, 1, 20)]).freedom == 19


def test_the_difference_of_two_means_is_as_uncertain_as_both():
    first = Mean(3.0, 4.0, 2, told=1.0, told_freedom=2)
    second = Mean(1.0, 2.0, 8, told=3.0, told_freedom=6)
    found = first.minus(second)
    assert (found.value, found.variance, found.told) == (2, 6, 4)
    # Welch 1947
    assert found.freedom == pytest.approx(6**2 / (4**2 / 2 + 2**2 / 8))
    assert found.told_freedom == pytest.approx(4**2 / (1**2 / 2 + 3**2 / 6))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_difference_to_a_mean_of_one_process_tells_nothing_of_processes(swapped):
    many, one = Mean(3.0, 4.0, 2, told=1.0, told_freedom=2), Mean(1.0, 2.0, 8)
    found = one.minus(many) if swapped else many.minus(one)
    assert (found.told, found.told_freedom) == (0, 0)
    assert found.half_width == pytest.approx(quantile(6**2 / (4**2 / 2 + 2**2 / 8)) * 6**0.5)


def test_of_processes_whose_medians_agree_none_is_astray_that_rounds_may_explain():
    rounds = np.linspace(-0.1, 0.1, 21)
    assert mean_of([*[rounds] * 8, rounds + 0.02]).strays == 0
    assert mean_of([*[rounds] * 8, rounds + 2.0]).strays == 1
