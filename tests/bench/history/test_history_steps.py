"""Where steps are found in a series of times, and where they are not."""

import numpy as np
import pytest
from scipy import stats

ruptures = pytest.importorskip("ruptures")

from bench.history.steps import FEWEST_RUNS, Step, find_steps, levels, significant  # noqa: E402
from bench.statistics.intervals import DEAD_BAND, Interval  # noqa: E402
from bench.statistics.random_effects import CONFIDENCE  # noqa: E402


def series(levels, noise=0.01, seed=0):
    generator = np.random.default_rng(seed)
    return np.exp(np.log(levels) + generator.normal(0, noise, len(levels)))


def found(times):
    return significant([find_steps(times)])[0]


def test_a_step_is_found_where_it_is_with_its_size():
    times = series([1.0] * 30 + [1.08] * 20)
    (step,) = found(times)
    assert step.at == 30
    assert step.is_slower
    assert step.size.low < 1.08 < step.size.high
    assert step.size.high / step.size.low < 1.03


def test_a_step_is_judged_by_students_test_beyond_the_dead_band_at_every_place():
    times = series([1.0] * 12 + [1.03] * 9, noise=0.005)
    (step,) = find_steps(times)
    before, after = np.log(times[:12]), np.log(times[12:])
    against = stats.ttest_ind(after, before)
    low, high = np.exp(against.confidence_interval(CONFIDENCE))
    assert step.at == 12
    assert (step.size.low, step.size.high) == pytest.approx((low, high))
    beyond = stats.ttest_ind(after - DEAD_BAND, before)
    assert step.p_value == pytest.approx(20 * beyond.pvalue)


def test_a_speed_up_is_one_too():
    (step,) = found(series([1.0] * 20 + [0.8] * 10))
    assert not step.is_slower
    assert step.size.estimate == pytest.approx(0.8, rel=0.02)


def test_several_steps_are_found_in_order():
    steps = found(series([1.0] * 20 + [1.1] * 20 + [1.05] * 20 + [0.7] * 20))
    assert [step.at for step in steps] == [20, 40, 60]


@pytest.mark.parametrize("at", [200, 249, 250, 251, 252, 500, 748, 998])
def test_a_step_of_a_long_series_is_found_wherever_blocks_meet(at):
    (step,) = found(series([1.0] * at + [1.1] * (1000 - at), noise=0.005))
    assert step.at == at


def test_a_step_within_the_dead_band_is_none():
    assert found(series([1.0] * 200 + [1.008] * 200, noise=0.001)) == []


@pytest.mark.parametrize("seed", [1355, 1416])
def test_what_looks_like_a_step_where_blocks_meet_is_moved_to_where_its_sides_spread_least(seed):
    (step,) = found(series([1.0] * 124 + [1.05] * 26, seed=seed))
    assert step.at == 124


@pytest.mark.parametrize("place", [0, 1, 13, 28, 29])
def test_a_single_slow_run_is_no_step(place):
    times = series([1.0] * 30)
    times[place] *= 3
    assert found(times) == []


@pytest.mark.parametrize("place", [5, 13, 26])
def test_two_slow_runs_in_a_row_are_a_step_and_one_back_wherever_they_are(place):
    times = series([1.0] * 30)
    times[place : place + 2] *= 1.5
    assert [step.at for step in found(times)] == [place, place + 2]


def test_a_good_run_between_two_slow_ones_makes_no_step_of_them():
    times = series([1.0] * 30)
    times[[12, 14]] *= 3
    assert found(times) == []


def test_two_runs_on_a_new_level_are_enough_where_it_is_clear():
    (step,) = found(series([1.0] * 30 + [1.2] * 2))
    assert step.at == 30


def test_nothing_is_said_of_few_runs_or_of_constant_ones():
    assert find_steps([1.0] * (FEWEST_RUNS - 2) + [9.0]) == []
    assert find_steps([1.0] * 50) == []


def test_as_many_runs_as_are_needed_are_enough_for_a_clear_step():
    (step,) = find_steps([1.0] * (FEWEST_RUNS - 2) + [2.0] * 2)
    assert step.at == FEWEST_RUNS - 2


def test_noise_alone_seldom_looks_like_a_step():
    """At most 1 % of 400 series of one level, among them some with heavy tails, have one."""
    generator = np.random.default_rng(5)
    normal = generator.normal(0, 0.02, (200, 60))
    heavy = 0.02 * generator.standard_t(3, (200, 60))
    everything = [find_steps(np.exp(values)) for values in (*normal, *heavy)]
    wrong = sum(bool(steps) for steps in significant(everything))
    assert wrong <= 4


def test_a_planted_slowdown_is_found_among_many_series():
    """5 % at 1.5 % of noise from run to run, 20 runs after it, in 20 of 200 series."""
    generator = np.random.default_rng(6)
    noise = generator.normal(0, 0.015, (200, 60))
    noise[:20, 40:] += np.log(1.05)
    steps = significant([find_steps(np.exp(values)) for values in noise])
    caught = sum(any(abs(step.at - 40) <= 5 for step in own) for own in steps[:20])
    assert caught >= 18
    assert sum(bool(own) for own in steps[20:]) <= 2


def test_levels_are_medians_between_steps():
    times = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    (step,) = find_steps(times)
    assert levels(times, [step]) == [(0, 3, 1.0), (3, 6, 2.0)]
    assert levels([1.0, 1.0, 8.0], []) == [(0, 3, 1.0)]


def test_series_without_a_step_count_when_steps_are_judged_together():
    sure, unsure = (Step(3, Interval(1.1, 1.05, 1.15), p_value) for p_value in (1e-4, 0.008))
    assert significant([[unsure]]) == [[unsure]]
    assert significant([[sure], [], [unsure], []]) == [[sure], [], [], []]
    assert significant([[], []]) == [[], []]
