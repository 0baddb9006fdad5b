"""Verdicts: which differences are told, how many must be ruled out, and how often they err."""

import math

import numpy as np
import pytest
from timings import around, exact, simulated

from bench.statistics.intervals import DEAD_BAND, Interval, Ratio, ratio
from bench.statistics.verdicts import RESOLUTION, Verdict, corrected, holm, verdict

REPEATS = 300


def judged(compared):
    """The verdict on a comparison that is alone."""
    return verdict(compared, compared.p_value)


def ratio_between(low, high):
    return Ratio(Interval(math.sqrt(low * high), low, high), 1e-9, 0.02, 60)


def test_identical_code_on_a_noisy_machine_raises_at_most_one_false_alarm_in_a_hundred():
    generator = np.random.default_rng(11)
    alarms = 0
    for _ in range(REPEATS):
        first = simulated(generator, between=0.02)
        second = simulated(generator, between=0.02)
        compared = ratio(first, second)
        alarms += judged(compared) in {Verdict.FASTER, Verdict.SLOWER}
    assert alarms / REPEATS <= 0.01


def test_holm_over_a_page_of_identical_code_raises_no_false_alarm():
    generator = np.random.default_rng(13)
    compared = [
        ratio(simulated(generator, between=0.01), simulated(generator, between=0.01))
        for _ in range(REPEATS)
    ]
    corrected = holm([found.p_value for found in compared])
    verdicts = {verdict(*pair) for pair in zip(compared, corrected, strict=True)}
    assert not verdicts & {Verdict.FASTER, Verdict.SLOWER}


def test_a_planted_slowdown_of_a_twentieth_is_found_with_five_processes():
    generator = np.random.default_rng(17)
    found = sum(
        judged(
            ratio(
                simulated(generator, processes=5, between=0.003, within=0.02, shift=0.05),
                simulated(generator, processes=5, between=0.003, within=0.02),
            )
        )
        is Verdict.SLOWER
        for _ in range(100)
    )
    assert found >= 95


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.02, 1.03, Verdict.SLOWER),
        (0.97, 0.98, Verdict.FASTER),
        (1.005, 1.02, Verdict.SAME),
        (math.exp(DEAD_BAND) - 1e-6, 1.04, Verdict.SAME),
        (math.exp(DEAD_BAND) + 1e-6, 1.04, Verdict.SLOWER),
        (0.96, math.exp(-DEAD_BAND) + 1e-6, Verdict.SAME),
        (0.96, math.exp(-DEAD_BAND) - 1e-6, Verdict.FASTER),
        (0.99, math.exp(RESOLUTION) + 1e-6, Verdict.AMBIGUOUS),
        (0.99, math.exp(RESOLUTION) - 1e-6, Verdict.SAME),
        (math.exp(-RESOLUTION) - 1e-6, 1.01, Verdict.AMBIGUOUS),
        (0.5, 2.0, Verdict.AMBIGUOUS),
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(low, high, expected):
    assert verdict(ratio_between(low, high), p_value=0.0) is expected


def test_a_difference_that_does_not_survive_correction_is_no_verdict():
    wide, narrow = ratio_between(1.02, 1.5), ratio_between(1.02, 1.03)
    assert verdict(wide, 0.009) is Verdict.SLOWER
    assert verdict(wide, 0.011) is Verdict.AMBIGUOUS
    assert verdict(narrow, 0.011) is Verdict.SAME


def test_holm_multiplies_by_the_number_of_hypotheses_left_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_a_change_within_the_dead_band_is_not_significant_however_sure():
    within, beyond = (
        ratio(exact(nanoseconds=round(1e6 * factor)), exact()) for factor in (1.009, 1.02)
    )
    assert (within.p_value, beyond.p_value) == (1, pytest.approx(0))
    generator = np.random.default_rng(53)
    many = [ratio(simulated(generator, within=1e-4, shift=0.009), exact()) for _ in range(12)]
    assert min(corrected(many)) == 1


def test_a_ratio_without_any_spread_disturbs_the_judgement_of_no_other():
    generator = np.random.default_rng(61)
    noisy = [ratio(simulated(generator, shift=0.2), simulated(generator)) for _ in range(12)]
    still = ratio(exact(nanoseconds=1_200_000), exact())
    alone, together = corrected(noisy), corrected([*noisy, still])
    assert max(alone) < 0.01
    assert max(together[:-1]) < 0.01
    assert together[-1] == pytest.approx(0)


def test_what_is_detectable_is_found_four_times_out_of_five():
    generator = np.random.default_rng(59)

    def made(shift):
        rounds = generator.normal(0, 0.01, 20)
        return ratio(
            around(*generator.normal(shift, 0.02, 12), rounds=rounds),
            around(*[0.0] * 12, rounds=rounds),
        )

    shift = math.log1p(np.median([made(0.0).detectable for _ in range(50)]))
    found = sum(judged(made(shift)) is Verdict.SLOWER for _ in range(200))
    assert 0.7 < found / 200 < 0.9
