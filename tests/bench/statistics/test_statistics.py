"""Intervals of times and ratios that hold what they promise."""

import math

import numpy as np
import pytest
from timings import around, exact, simulated

from bench.results.schema import Samples, Timing
from bench.statistics.intervals import (
    DEAD_BAND,
    Interval,
    geometric_mean,
    other_seconds,
    ratio,
    seconds_of_rounds,
    seconds_per_call,
    shared_ratio,
    stray_processes,
    unpaired_ratio,
)
from bench.statistics.random_effects import CONFIDENCE
from bench.statistics.verdicts import Verdict, verdict

REPEATS = 300


def test_the_inverse_of_an_interval_has_its_ends_turned_round_and_an_open_one_stays_open():
    assert Interval(2.0, 1.0, 4.0).inverse() == Interval(0.5, 0.25, 1.0)
    assert Interval(2.0, 0.0, math.inf).inverse() == Interval(0.5, 0.0, math.inf)


@pytest.mark.parametrize(
    ("between", "within", "processes", "least"),
    [
        (0.0, 0.03, 1, 0.97),
        (0.0, 0.03, 3, 0.985),
        (0.01, 0.03, 3, 0.97),
        (0.03, 0.003, 3, 0.95),
        (0.03, 0.03, 5, 0.96),
        (0.03, 0.003, 5, 0.96),
        (0.03, 0.003, 8, 0.965),
        (0.01, 0.03, 12, 0.97),
    ],
)
def test_the_interval_covers_the_truth_with_and_without_process_effects(
    between, within, processes, least
):
    generator = np.random.default_rng(7)
    reference = exact(processes)
    covered = 0
    for _ in range(REPEATS):
        made = simulated(generator, processes=processes, between=between, within=within)
        interval = ratio(made, reference).interval
        covered += interval.low <= 1 <= interval.high
    assert covered / REPEATS >= least


def test_few_processes_that_differ_widen_the_interval_beyond_their_own_spread():
    offsets = (-0.02, 0.0, 0.02)
    processes = tuple(
        Samples(place, 1, ((int(1e6 * math.exp(offset)),),) * 20)
        for place, offset in enumerate(offsets)
    )
    interval = ratio(Timing("made up", processes), exact()).interval
    assert math.log(interval.high) > 0.06
    assert math.log(interval.low) < -0.06


def test_drift_that_both_cells_share_cancels_in_the_ratio():
    generator = np.random.default_rng(19)
    drift = np.linspace(0, 1, 30)
    timings = [
        Timing(
            "made up",
            tuple(
                Samples(
                    process,
                    1,
                    tuple(
                        (int(1e6 * math.exp(share + generator.normal(0, 0.001))),)
                        for share in drift
                    ),
                )
                for process in range(3)
            ),
        )
        for _ in range(2)
    ]
    interval = ratio(*timings).interval
    assert interval.high / interval.low < 1.01


def test_the_time_of_a_call_is_a_mean_over_processes_of_medians_of_seconds_of_rounds():
    processes = (
        Samples(0, 10, ((1000, 9000, 2000), (2000,), (3000, 5000))),
        Samples(1, 10, ((4000,), (4000,), (4000,))),
    )
    timing = Timing("made up", processes)
    first, second = seconds_of_rounds(timing)
    assert first.tolist() == pytest.approx([2e-7, 2e-7, 4e-7])
    assert second.tolist() == pytest.approx([4e-7] * 3)
    # The first process's rounds spread, so that it counts for a little less.
    assert math.sqrt(2e-7 * 4e-7) < seconds_per_call(timing).estimate < 1.1 * math.sqrt(2e-7 * 4e-7)


def test_the_same_samples_give_the_same_interval_in_any_order_of_calls():
    generator = np.random.default_rng(29)
    first, second, third = (simulated(generator) for _ in range(3))
    before = ratio(first, second)
    ratio(third, second)
    seconds_per_call(third)
    assert ratio(first, second) == before


def test_swapping_the_cells_inverts_the_ratio():
    generator = np.random.default_rng(31)
    first, second = simulated(generator, shift=0.4), simulated(generator)
    forward, backward = ratio(first, second), ratio(second, first)
    assert forward.interval.estimate == pytest.approx(1 / backward.interval.estimate)
    assert forward.interval.low == pytest.approx(1 / backward.interval.high, rel=0.02)


def test_rounds_are_paired_within_processes_that_both_have():
    first = Timing("made up", exact(3, 12).processes[1:])
    second = Timing("made up", exact(2, 8).processes)
    assert ratio(first, second).rounds == 8
    assert ratio(first, Timing("made up", exact(1).processes)) is None


def test_samples_without_any_spread_give_an_interval_without_width():
    compared = ratio(exact(nanoseconds=2_000_000), exact())
    assert compared.interval.low == pytest.approx(2)
    assert compared.interval.high == pytest.approx(2)
    assert verdict(compared, compared.p_value) is Verdict.SLOWER
    assert compared.detectable == pytest.approx(math.expm1(DEAD_BAND))


def test_the_p_value_says_what_the_interval_says():
    generator = np.random.default_rng(37)
    for shift in (0.0, 0.01, 0.1, 1.0):
        compared = ratio(simulated(generator, shift=shift), exact())
        beyond = math.log(compared.interval.low) > 1.3 * DEAD_BAND
        assert 0 <= compared.p_value <= 1
        if beyond:
            assert compared.p_value < 0.02


def test_two_runs_of_identical_code_are_rarely_told_apart():
    generator = np.random.default_rng(5)
    called = 0
    for _ in range(REPEATS):
        first, second = (
            simulated(generator, processes=5, between=0.02, within=0.02) for _ in range(2)
        )
        found = unpaired_ratio(first, second)
        called += not found.interval.low <= 1 <= found.interval.high
    assert called <= 9  # 1 % is expected; 10 would happen once in 1,000 times


def test_a_planted_slowdown_between_two_runs_is_found():
    generator = np.random.default_rng(6)
    first, second = (
        simulated(generator, processes=6, between=0.01, within=0.02, shift=shift)
        for shift in (0.0, math.log(1.1))
    )
    found = unpaired_ratio(second, first)
    assert 1 < found.interval.low < 1.1 < found.interval.high
    assert found.p_value < 0.01


def test_a_geometric_mean_of_independent_ratios_narrows_with_their_number():
    one = Interval(1.1, 1.0, 1.21)
    mean = geometric_mean([one])
    assert (mean.estimate, mean.low, mean.high) == pytest.approx((1.1, 1.0, 1.21))
    mean = geometric_mean([one] * 4)
    assert mean.estimate == pytest.approx(1.1)
    assert math.log(mean.high / mean.low) == pytest.approx(math.log(1.21) / 2)


def test_a_single_round_has_an_open_interval_and_no_verdict():
    once = Timing("made up", (Samples(0, 1, ((1_000,),)),))
    slower = Timing("made up", (Samples(0, 1, ((9_000,),)),))
    assert not seconds_per_call(once).is_known
    for found in (ratio(slower, once), unpaired_ratio(slower, once)):
        assert found.interval.estimate == pytest.approx(9)
        assert not found.interval.is_known
        assert verdict(found, 0.0) is Verdict.AMBIGUOUS
        assert found.detectable == math.inf
        assert found.p_value == 1


def test_a_mean_of_ratios_takes_an_open_interval_for_the_widest_of_the_others():
    known = [Interval(2.0, 1.9, 2.1), Interval(2.0, 1.5, 2.5)]
    unsure = geometric_mean([*known, Interval(2.0, 0.0, math.inf)])
    assert unsure == geometric_mean([*known, known[1]])
    assert not geometric_mean([Interval(2.0, 0.0, math.inf)]).is_known


def test_processes_that_are_left_out_are_counted():
    usual = [Samples(number, 1, ((1_000,), (1_001 + number,))) for number in range(8)]
    stray = Samples(8, 1, ((9_000,), (9_001,)))
    assert stray_processes(Timing("made up", (*usual, stray))) == 1
    assert stray_processes(Timing("made up", tuple(usual))) == 0


@pytest.mark.parametrize(("count", "strays"), [(7, 0), (8, 1)])
def test_a_process_is_left_out_only_where_eight_or_more_tell_that_it_is_astray(count, strays):
    usual = [Samples(number, 1, ((1_000,), (1_001 + number,))) for number in range(count - 1)]
    stray = Samples(count, 1, ((9_000,), (9_001,)))
    timing = Timing("made up", (*usual, stray))
    assert stray_processes(timing) == strays
    assert (seconds_per_call(timing).estimate < 1.1e-6) == bool(strays)


@pytest.mark.parametrize("clock", ["wall_rounds", "device_rounds"])
def test_the_other_clocks_time_is_that_of_one_call(clock):
    samples = Samples(0, 4, ((8_000,),), **{clock: ((12_000,),)})
    assert other_seconds(Timing("made up", (samples,))) == pytest.approx(3e-6)


def shared_logarithm(*cells):
    reference = around(*[0.0] * len(cells[0].processes))
    return math.log(shared_ratio([(cell, reference) for cell in cells]).interval.estimate)


def test_a_cell_whose_processes_agree_by_luck_weighs_no_more_than_the_median_cell():
    lucky = around(0.3, 0.3, 0.3)
    usual = around(0.01, 0.0, -0.01)
    assert shared_logarithm(lucky, usual, usual) == pytest.approx(0.1, abs=1e-6)


def test_a_cell_of_noisy_rounds_weighs_little_even_if_its_processes_agree():
    noisy = around(0.3, 0.3, 0.3, rounds=(-0.5, -0.4, 0.0, 0.4, 0.5))
    usual = around(0.01, 0.0, -0.01)
    assert abs(shared_logarithm(noisy, usual, usual)) < 0.01


def test_what_cells_share_takes_two_processes_that_have_all_of_them():
    cell, other = around(0.1, 0.1), around(0.1)
    assert shared_ratio([(cell, cell)]).rounds == 6
    assert shared_ratio([(cell, cell), (other, other)]) is None
    assert shared_ratio([]) is None


def test_a_process_that_went_astray_in_all_cells_is_left_out_of_what_they_share():
    spread = np.linspace(-0.01, 0.01, 8)
    usual, astray = around(*spread, 0.0), around(*spread, 2.0)
    reference = around(*[0.0] * 9)
    found = shared_ratio([(astray, reference), (astray, reference)])
    assert (found.strays, found.interval.estimate) == (1, pytest.approx(1, abs=1e-3))
    # In one cell only it takes part: what it is there is averaged first.
    found = shared_ratio([(astray, reference), *[(usual, reference)] * 40])
    assert (found.strays, found.rounds) == (0, 41 * 27)


def test_the_median_of_an_even_number_of_samples_lies_between_the_middle_two():
    samples = Samples(0, 1, ((9_000, 1_000, 2_000, 4_000), (5_000, 5_000, 7_000, 7_000)))
    (medians,) = seconds_of_rounds(Timing("made up", (samples,)))
    assert medians.tolist() == pytest.approx([3e-6, 6e-6])


def test_rounds_pair_from_the_first_on_where_one_has_more():
    growing = np.linspace(0, 3, 12)
    compared = ratio(around(0.0, rounds=growing), around(0.0, rounds=growing[:8]))
    assert compared.interval.low == pytest.approx(1, abs=1e-5)
    assert compared.interval.high == pytest.approx(1, abs=1e-5)


def test_an_unpaired_ratio_counts_the_fewer_rounds_and_the_strays_of_both():
    spread = (*np.linspace(-0.01, 0.01, 8), 2.0)
    found = unpaired_ratio(around(*spread), around(*spread, rounds=(0.0, 0.001)))
    assert (found.rounds, found.strays) == (18, 2)


def test_of_a_coarse_clock_a_rounds_value_is_the_mean_of_its_samples():
    rounds = ((4_096, 5_120, 5_120, 5_120), (4_096, 4_096, 5_120, 5_120))
    (medians,) = seconds_of_rounds(Timing("made up", (Samples(0, 1, rounds),)))
    (means,) = seconds_of_rounds(Timing("made up", (Samples(0, 1, rounds, is_coarse=True),)))
    assert medians.tolist() == pytest.approx([5_120e-9, 4_608e-9])
    assert means.tolist() == pytest.approx([4_864e-9, 4_608e-9])


def test_ticks_of_a_coarse_clock_are_borne_by_means_and_not_by_medians():
    """Calls of 5.83 and 5.5 µs, by ticks of 1,024 ns: `pytest -s` prints the ranges."""
    generator = np.random.default_rng(1)
    tick, trials = 1024, 60

    def timing(nanoseconds, *, is_coarse):
        processes = []
        for process in range(3):
            noise = generator.normal(0, 0.003, (8, 24)) + generator.normal(0, 0.001)
            begun = generator.uniform(0, tick, (8, 24))  # at any moment of a tick
            read = ((begun + nanoseconds * np.exp(noise)) // tick * tick).astype(int)
            rounds = tuple(map(tuple, read.tolist()))
            processes.append(Samples(process, 1, rounds, is_coarse=is_coarse))
        return Timing("made up", tuple(processes))

    for is_coarse, low, high in ((False, 1.15, 1.21), (True, 1.03, 1.09)):
        found = [
            ratio(timing(5_830, is_coarse=is_coarse), timing(5_500, is_coarse=is_coarse)).interval
            for _ in range(trials)
        ]
        estimates = [interval.estimate for interval in found]
        print(f"is_coarse={is_coarse}: {min(estimates):.3f} to {max(estimates):.3f}")
        assert low < min(estimates) <= max(estimates) < high
        covered = sum(interval.low < 5.83 / 5.5 < interval.high for interval in found)
        assert covered >= 0.95 * trials if is_coarse else covered == 0


def test_the_p_value_is_a_hundredth_where_the_interval_ends_at_the_dead_band():
    logarithms, reference = np.array([0.02, 0.05, 0.06]), around(0.0, 0.0, 0.0)
    beyond = math.log(ratio(around(*logarithms), reference).interval.low) - DEAD_BAND
    found = ratio(around(*(logarithms - beyond)), reference)
    assert math.log(found.interval.low) == pytest.approx(DEAD_BAND, abs=1e-6)
    assert found.p_value == pytest.approx(1 - CONFIDENCE, rel=1e-3)


def test_a_cell_whose_processes_disagree_weighs_little_though_its_rounds_agree():
    torn = around(0.5, 0.0, -0.2)
    usual = around(0.01, 0.0, -0.01)
    assert abs(shared_logarithm(torn, usual, usual)) < 0.01


def test_what_many_cells_share_is_known_better_than_each_of_them():
    noisy = (-0.3, -0.1, 0.0, 0.1, 0.3)
    pair = around(0.0, 0.0, rounds=noisy), around(0.0, 0.0, rounds=(0.0,) * 5)
    one, all_of_them = (math.log(shared_ratio([pair] * n).interval.high) for n in (1, 16))
    assert 3 < one / all_of_them < 6  # by the square root of their number, and Student
