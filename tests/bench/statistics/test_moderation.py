"""p-values of many comparisons together: few processes do not raise false alarms."""

import numpy as np
import pytest
from scipy import special, stats

from bench.statistics.intervals import Ratio, _ratio
from bench.statistics.moderation import (
    FEWEST,
    _common_variances,
    _groups,
    _inverse_trigamma,
    moderated,
)
from bench.statistics.random_effects import mean_of
from bench.statistics.verdicts import Verdict, corrected, holm, verdict

CELLS = 250


def compared(generator, *, processes, between, shift=0.0):
    """A ratio of two that differ by `shift`, from processes that differ by `between`."""
    offsets = generator.normal(shift, between, processes)
    return _ratio(mean_of([generator.normal(each, 0.025, 20) for each in offsets]), 20 * processes)


def has_alarm(verdicts):
    return any(each in {Verdict.FASTER, Verdict.SLOWER} for each in verdicts)


def judged(ratios):
    return [verdict(each, p) for each, p in zip(ratios, corrected(ratios), strict=True)]


def alarms_among(runs, cells, processes, uneven):
    """How many runs of equal cells have a false verdict, and how many if each p-value stood alone."""
    generator = np.random.default_rng(7)
    together = alone = 0
    for _ in range(runs):
        spreads = 0.03 * np.exp(generator.normal(0, uneven, cells))
        ratios = [compared(generator, processes=processes, between=each) for each in spreads]
        together += has_alarm(judged(ratios))
        p_values = holm([each.p_value for each in ratios])
        alone += has_alarm([verdict(each, p) for each, p in zip(ratios, p_values, strict=True)])
    print(f"of {runs} runs, with a false verdict: {together}; each p-value by itself: {alone}")
    return together, alone


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3, 5])
@pytest.mark.parametrize("uneven", [0.0, 0.8])
def test_runs_of_few_processes_and_many_cells_raise_no_more_false_alarms_than_they_say(
    processes, uneven
):
    alarms, alone = alarms_among(20, CELLS, processes, uneven)
    assert alarms <= 1  # of 20; one in a hundred is expected
    assert processes > 3 or alone > 5  # what moderation is for


def test_clear_differences_are_found_among_many_cells_from_three_processes():
    generator = np.random.default_rng(7)
    ratios = [
        compared(generator, processes=3, between=0.01, shift=0.5 * (place % 2))
        for place in range(CELLS)
    ]
    found = judged(ratios)
    assert found[1::2].count(Verdict.SLOWER) > 0.95 * CELLS / 2
    assert Verdict.SLOWER not in found[::2]


def common_of(variances, freedom):
    """The common variance of comparisons that are all of one kind, and what it counts for."""
    count = len(variances)
    common, prior = _common_variances(variances, np.full(count, freedom), np.zeros(count, int))
    assert np.ptp(common) == 0
    return common[0], prior


def test_variances_that_differ_by_chance_alone_are_taken_for_one():
    generator = np.random.default_rng(7)
    variances = 4.0 * stats.chi2(2).rvs(4000, random_state=generator) / 2
    common, prior = common_of(variances, 2.0)
    assert common == pytest.approx(4.0, rel=0.1)
    assert prior > 30


def test_the_common_variance_and_what_it_counts_for_are_recovered():
    generator = np.random.default_rng(7)
    scale = (
        4.0 * 6 / stats.chi2(6).rvs(20_000, random_state=generator)
    )  # prior: 6 degrees of freedom
    variances = scale * stats.chi2(2).rvs(20_000, random_state=generator) / 2
    common, prior = common_of(variances, 2.0)
    assert common == pytest.approx(4.0, rel=0.1)
    assert prior == pytest.approx(6.0, rel=0.15)


@pytest.mark.parametrize("value", [1e-3, 0.1, 1.0, 30.0, 1e4])
def test_the_inverse_of_trigamma(value):
    assert special.polygamma(1, _inverse_trigamma(value)) == pytest.approx(value, rel=1e-6)


def test_too_few_comparisons_have_nothing_in_common():
    few = [1.0] * (FEWEST - 1)
    assert moderated(few, few, few, few) is None
    ratios = [compared(np.random.default_rng(7), processes=3, between=0.01) for _ in few]
    assert min(corrected(ratios)) >= min(each.p_value for each in ratios)


def test_a_ratio_of_one_process_keeps_its_own_p_value():
    generator = np.random.default_rng(7)
    alone = compared(generator, processes=1, between=0.0)
    assert isinstance(alone, Ratio)
    assert alone.told_freedom == 0
    many = [compared(generator, processes=3, between=0.01) for _ in range(20)]
    assert corrected([*many, alone])[-1] >= alone.p_value


def families(generator, quiet, noisy, *, shift, uneven=0.0):
    """Four comparisons of a quiet phase, which differ by a shift, and twelve of noisy ones."""
    kinds = ["forward"] * 4 + ["train"] * 6 + ["encode"] * 6
    spreads = np.array([quiet] * 4 + [noisy] * 12) * np.exp(generator.normal(0, uneven, 16))
    ratios = [
        compared(generator, processes=5, between=spread, shift=shift * (kind == "forward"))
        for kind, spread in zip(kinds, spreads, strict=True)
    ]
    return ratios, kinds


def test_a_quiet_kind_is_not_judged_by_the_noise_of_others():
    generator = np.random.default_rng(7)
    found = {"by kind": 0, "all alike": 0}
    for _ in range(50):
        ratios, kinds = families(generator, 0.004, 0.04, shift=0.035)
        for name, given in (("by kind", kinds), ("all alike", None)):
            p_values = corrected(ratios, given)[:4]
            found[name] += sum(each <= 0.01 for each in p_values)
    print(f"of 200 shifts: {found}")
    assert found["by kind"] > 1.2 * found["all alike"]


@pytest.mark.parametrize("uneven", [0.0, 0.8])
@pytest.mark.parametrize(("processes", "cells"), [(2, 4), (3, FEWEST), (3, 7), (5, 5)])
def test_few_comparisons_raise_no_more_false_alarms_than_they_say(processes, cells, uneven):
    alarms, alone = alarms_among(400, cells, processes, uneven)
    assert alarms <= 12  # four are expected
    assert processes > 2 or alone > 12  # what moderation is for


def test_a_twentieth_is_found_in_few_comparisons_from_three_processes():
    generator = np.random.default_rng(7)
    found = 0
    for _ in range(50):
        ratios = [
            compared(generator, processes=3, between=0.003, shift=shift)
            for shift in (0.05, 0.0, 0.0)
        ]
        found += judged(ratios)[0] is Verdict.SLOWER
    assert found >= 40


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [0.0, 0.8])
def test_small_kinds_raise_no_more_false_alarms_than_they_say(uneven):
    generator = np.random.default_rng(7)
    alarms = 0
    for _ in range(400):
        # The edge of the dead band: nothing is more easily called changed.
        ratios, kinds = families(generator, 0.004, 0.04, shift=0.01, uneven=uneven)
        alarms += min(corrected(ratios, kinds)) <= 0.01
    print(f"of 400 runs of equal ones, with a false alarm: {alarms}")
    assert alarms <= 12  # four are expected


def test_kinds_of_few_comparisons_are_one():
    assert len(set(_groups(["a", "b", "c", "d"] * 2))) == 1
    assert len(set(_groups(["a"] * 4 + ["b"] * 4))) == 2
    assert len(set(_groups(["a"] * 7 + ["b"]))) == 1
    assert len(set(_groups(["a"] * 4 + ["b"] * 3 + ["c"] * 3))) == 2


def test_what_a_kind_has_in_common_counts_for_what_its_others_know():
    distances, variances = [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]
    common = float(np.exp(-special.digamma(1)))  # of equal variances with 2 degrees of freedom
    drawn = (4 * common + 2 * 1.0) / 6
    wanted = 2 * stats.t(6).sf(np.array(distances) / drawn**0.5)
    assert moderated(distances, variances, [2.0] * 3, ["forward"] * 3) == pytest.approx(wanted)


def test_how_much_variances_differ_is_told_within_their_kinds():
    variances = np.array([1.0, 1e1, 1e2, 1e3, 1e7, 1e8, 1e9, 1e10])
    _, prior = _common_variances(variances, np.full(8, 2.0), np.repeat([0, 1], 4))
    beyond_chance = np.log(variances[:4]).var(ddof=1) - special.polygamma(1, 1.0)
    assert special.polygamma(1, prior / 2) == pytest.approx(beyond_chance)


def test_p_values_stay_with_their_ratios_wherever_one_of_a_single_process_stands():
    generator = np.random.default_rng(7)
    alone = compared(generator, processes=1, between=0.0)
    quiet = [compared(generator, processes=3, between=0.003, shift=0.04) for _ in range(6)]
    noisy = [compared(generator, processes=3, between=0.05) for _ in range(6)]
    kinds = ["quiet"] * 6 + ["noisy"] * 6
    last = corrected([*quiet, *noisy, alone], [*kinds, "alone"])
    first = corrected([alone, *quiet, *noisy], ["alone", *kinds])
    assert first == pytest.approx([last[-1], *last[:-1]])
    assert min(last) < 0.05
