"""One mean from rounds within processes: which process counts for how much, and how sure it is."""

import numpy as np
import pytest

from bench.statistics.random_effects import _variance_of_median, mean_of

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
