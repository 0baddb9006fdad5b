"""Crossings are found where they were planted, and nowhere else."""

import math
import re
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.statistics.verdicts import Verdict
from reports.break_even import Outcome, groups, lonely
from reports.sentences import break_even_sentences, curves_caption, outcome
from reports.speed import compare
from reports.words import DASH
from tests.reports.synthetic_runs import (
    DENSE_SECONDS,
    Noise,
    density_group,
    make_run,
    size_group,
    workload,
    wrong_at_last,
)

DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
QUIET = Noise(rounds=0.003, processes=0.0005)
NOISY = Noise(rounds=0.05, processes=0.02)


def curves(ratio_at, *, noise=QUIET, records=None, phases=(Phase.FORWARD,), names=("gather",)):
    """Groups of a run in which gather takes `ratio_at(position)` times as long as dense."""

    def times(name, record):
        return DENSE_SECONDS * (1 if name == "dense" else ratio_at(record.position))

    run = make_run(
        records or density_group(), ("dense", *names), times=times, phases=phases, noise=noise
    )
    return groups(compare(run), phases)


def of_gather(found):
    return next(curve for curve in found[0].curves if curve.implementation == "gather")


@pytest.mark.parametrize("planted", [0.007, 0.03, 0.1, 0.38, 0.65, 0.9])
def test_a_planted_crossing_is_found_and_lies_in_its_band(planted):
    curve = of_gather(curves(lambda density: density / planted))
    assert curve.outcome is Outcome.CROSSES
    (crossing,) = curve.crossings
    assert crossing.position == pytest.approx(planted, rel=0.02)
    assert crossing.low < planted * 1.01
    assert crossing.high > planted * 0.99
    assert crossing.low <= crossing.position <= crossing.high
    assert crossing.faster_below


def test_interpolation_is_straight_in_logarithms():
    records = [workload(f"at {place}", place, group="two") for place in (0.1, 0.9)]
    curve = of_gather(curves(lambda density: 0.5 if density < 0.5 else 2.0, records=records))
    assert curve.crossings[0].position == pytest.approx(math.sqrt(0.1 * 0.9), rel=0.02)


def test_the_band_is_wider_where_noise_is_larger():
    def width(noise):
        (crossing,) = of_gather(curves(lambda density: density / 0.3, noise=noise)).crossings
        return math.log(crossing.high / crossing.low)

    assert width(NOISY) > 3 * width(QUIET) > 0


@pytest.mark.parametrize("bend", [-0.4, 0.4])
@pytest.mark.parametrize("flips", [False, True])
def test_the_band_holds_a_crossing_between_two_distant_workloads_where_the_curve_bends(bend, flips):
    places = (0.01, 0.03, 0.3, 0.9)

    def planted(density):
        distance = math.log(density / 0.15)
        height = distance + bend * distance**2 / 3
        return math.exp(-height if flips else height)

    records = [workload(f"at {place}", place, group="bent") for place in places]
    (crossing,) = of_gather(curves(planted, records=records, noise=QUIET)).crossings
    assert abs(math.log(crossing.position / 0.15)) > 0.1
    assert 0.03 <= crossing.low < 0.15 < crossing.high <= 0.3


def test_the_band_reaches_the_next_workload_where_the_curve_turned_just_before():
    ratios = {0.01: 0.5, 0.03: 0.3, 0.3: 2.0, 0.9: 4.0}
    records = [workload(f"at {place}", place, group="turned") for place in ratios]
    (crossing,) = of_gather(curves(ratios.__getitem__, records=records)).crossings
    assert crossing.low == pytest.approx(0.1, rel=0.02)
    assert crossing.high == pytest.approx(0.3)


def test_a_straight_curve_has_a_band_of_noise_alone():
    (crossing,) = of_gather(curves(lambda density: density / 0.3, noise=QUIET)).crossings
    assert crossing.high / crossing.low < 1.03


@pytest.mark.parametrize("twice", [(0.2,), (0.4,), (0.1, 0.2, 0.4, 0.7)])
def test_several_workloads_of_one_density_beside_a_crossing_change_no_band_but_by_noise(twice):
    records = density_group()
    again = [replace(each, name=f"{each.name} again") for each in records if each.density in twice]

    def planted(density):
        return (density / 0.3) ** (1 if density < 0.3 else 2)

    (once,) = of_gather(curves(planted, noise=QUIET)).crossings
    found = of_gather(curves(planted, noise=QUIET, records=[*records, *again]))
    (crossing,) = found.crossings
    assert crossing.position == pytest.approx(once.position, rel=0.02)
    assert (crossing.low, crossing.high) == pytest.approx((once.low, once.high), rel=0.02)


def test_a_band_stays_open_where_one_side_is_not_told_apart():
    noise = Noise(rounds=0.03, processes=0.005)
    found = curves(lambda density: 0.5 if density < 0.5 else 1.005, noise=noise)
    (crossing,) = of_gather(found).crossings
    assert 0.4 <= crossing.low < crossing.position < 0.7
    assert crossing.high is None
    said = outcome(found[0], of_gather(found), "dense")
    assert said.startswith("perhaps below")
    assert said.endswith("open)")


def test_a_band_stays_open_below_where_that_side_is_not_told_apart():
    noise = Noise(rounds=0.03, processes=0.005)
    found = curves(lambda density: 0.5 if density > 0.015 else 1.005, noise=noise)
    (crossing,) = of_gather(found).crossings
    assert not crossing.faster_below
    assert crossing.low is None
    assert 0.01 < crossing.position < crossing.high <= 0.02


@pytest.mark.parametrize(
    ("level", "expected", "said"),
    [
        (0.5, Outcome.FASTER, "no crossing: faster at every measured density"),
        (2.0, Outcome.SLOWER, "no crossing: slower at every measured density"),
    ],
)
def test_a_curve_on_one_side_has_no_crossing(level, expected, said):
    found = curves(lambda _density: level)
    curve = of_gather(found)
    assert (curve.outcome, curve.crossings) == (expected, ())
    assert outcome(found[0], curve, "dense") == said


def test_a_change_of_the_estimate_that_does_not_last_is_no_crossing():
    levels = dict(zip(DENSITIES[-3:], (0.97, 1.0, 1.03), strict=True))
    noise = Noise(rounds=0.2, processes=0.1)
    found = curves(lambda density: levels.get(density, 3.0), noise=noise)
    curve = of_gather(found)
    estimates = [point.ratio.interval.estimate for point in curve.points]
    assert min(estimates[-3:]) < 1 < estimates[-1]
    assert (curve.outcome, curve.crossings) == (Outcome.LEVEL, ())
    said = outcome(found[0], curve, "dense")
    assert said.startswith("no crossing: slower at 0.5")
    assert said.endswith("elsewhere not told apart")


def test_only_verdicts_are_said_of_every_density():
    """That an interval excludes 1 makes nobody faster: the difference may be within the dead band."""
    found = curves(lambda _density: 1.008)
    curve = of_gather(found)
    assert all(point.ratio.interval.low > 1 for point in curve.points)
    assert {point.verdict for point in curve.points} == {Verdict.SAME}
    assert curve.outcome is Outcome.LEVEL
    assert outcome(found[0], curve, "dense") == "no crossing: not told apart anywhere"


def test_identical_code_has_no_crossing_although_its_estimates_change_sides():
    found = curves(lambda _density: 1.0, noise=NOISY)
    curve = of_gather(found)
    estimates = [point.ratio.interval.estimate for point in curve.points]
    assert min(estimates) < 1 < max(estimates)
    assert curve.outcome is Outcome.LEVEL
    assert outcome(found[0], curve, "dense") == "no crossing: not told apart anywhere"


def test_a_curve_that_is_faster_only_in_the_middle_crosses_twice():
    curve = of_gather(curves(lambda density: 0.5 if 0.015 < density < 0.3 else 2.0))
    first, second = curve.crossings
    assert not first.faster_below
    assert second.faster_below
    assert 0.01 < first.position < 0.02
    assert 0.2 < second.position < 0.4


def test_a_group_by_size_is_read_as_positions_and_makes_no_break_even():
    found = curves(lambda size: 100 / size, records=size_group((48, 96, 192, 384)))
    curve = of_gather(found)
    assert not found[0].is_density
    assert outcome(found[0], curve, "dense").startswith("above 100 (99\u00a0% band ")
    assert not break_even_sentences(found, "dense")


def test_a_size_is_called_by_its_name():
    found = curves(lambda _size: 0.5, records=size_group(axis="batch size"))
    assert outcome(found[0], of_gather(found), "dense").endswith("at every measured batch size")


def test_workloads_make_one_curve_in_whatever_order_they_were_measured():
    records = density_group()
    found = curves(lambda density: density / 0.3, records=[*records[::2], *records[1::2]])
    assert [point.position for point in of_gather(found).points] == list(DENSITIES)
    assert of_gather(found).crossings[0].position == pytest.approx(0.3, rel=0.02)


def test_positions_without_a_time_are_left_out():
    def times(name, record):
        if name == "gather" and record.density in {0.2, 0.4}:
            return None
        return DENSE_SECONDS * (1 if name == "dense" else record.density / 0.3)

    run = make_run(density_group(), ("dense", "gather"), times=times, noise=QUIET)
    curve = of_gather(groups(compare(run), (Phase.FORWARD,)))
    assert len(curve.points) == len(DENSITIES) - 2
    assert curve.crossings[0].position == pytest.approx(0.3, rel=0.02)


def test_one_position_makes_no_curve_and_is_named():
    comparison = compare(make_run(density_group()[:1]))
    assert groups(comparison, comparison.headline) == []
    assert lonely(comparison) == ["2d-submanifold-k3-c32-grid96-uniform"]
    assert lonely(compare(make_run(density_group()[:2]))) == []


def test_a_position_of_zero_has_no_place_on_a_logarithmic_axis():
    records = [workload("empty", 0.0, group="g"), *density_group("g")[4:]]
    found = curves(lambda density: density / 0.3 if density else 1.0, records=records)
    assert 0.0 not in found[0].positions


def test_workloads_of_two_suites_with_one_group_name_stay_apart():
    other = [replace(record, suite="other") for record in density_group()]
    found = curves(lambda density: density / 0.3, records=[*density_group(), *other])
    assert [group.suite for group in found] == ["made", "other"]


def test_sentences_name_the_density_the_band_and_the_group():
    found = curves(lambda density: density / 0.38)
    (sentence,) = break_even_sentences(found, "dense")
    text = sentence.replace("\u00a0", " ")
    assert text.startswith(
        "For 2d-submanifold-k3-c32-grid96-uniform: gather beats dense below 38 %"
    )
    assert re.search(rf"38 % density \(99 % band 3\d{DASH}3\d %\)\.$", text)


def sentence_of(factors, noise):
    """What is said of one group whose times are dense's, times a factor of the density."""
    run = make_run(
        density_group(),
        tuple(factors),
        times=lambda name, record: DENSE_SECONDS * factors[name](record.density),
        phases=(Phase.FORWARD,),
        noise=noise,
    )
    found = groups(compare(run), (Phase.FORWARD,))
    (sentence,) = break_even_sentences(found, "dense")
    return sentence.replace("\u00a0", " ")


def test_a_group_s_sentence_begins_with_who_pays_longest_and_ends_with_who_never_does():
    factors = {
        "dense": lambda _density: 1.0,
        "early": lambda density: density / 0.15,
        "rather late": lambda density: density / 0.6,
        "always": lambda _density: 0.5,
        "never": lambda _density: 2.0,
    }
    sentence = sentence_of(factors, QUIET)
    said = re.fullmatch(
        r"For 2d-[^:]*: always is faster than dense at every measured density; rather late beats dense "
        r"below 60 % density \(99 % band [^)]*\) and early below 15 % \([^)]*\); never is slower at "
        r"every measured density\.",
        sentence,
    )
    assert said, sentence


def test_a_group_s_sentence_says_where_a_curve_without_a_crossing_is_faster():
    factors = {
        "dense": lambda _density: 1.0,
        "mostly": lambda density: 0.5 if density < 0.2 else 0.97,
        "hardly": lambda _density: 1.0,
        "never": lambda _density: 2.0,
    }
    sentence = sentence_of(factors, NOISY)
    said = re.fullmatch(
        r"For 2d-[^:]*: mostly is faster than dense at 0\.5 %, 1 %, .*, elsewhere not told apart; "
        r"hardly is neither clearly faster nor clearly slower; never is slower at every measured "
        r"density\.",
        sentence,
    )
    assert said, sentence


def test_many_crossings_are_summed_up_with_their_range():
    records = [record for number in range(8) for record in density_group(f"group-{number}")]
    run = make_run(
        records,
        ("dense", "gather"),
        times=lambda name, record: (
            DENSE_SECONDS
            * (1 if name == "dense" else record.density / (0.1 + 0.05 * int(record.group[-1])))
        ),
        phases=(Phase.FORWARD,),
        noise=QUIET,
    )
    found = groups(compare(run), (Phase.FORWARD,))
    (sentence,) = break_even_sentences(found, "dense")
    text = sentence.replace("\u00a0", " ")
    assert "in the median of 8 crossings: from 10 % (group-0) to 45 % (group-7)" in text


def test_no_sentence_praises_who_is_wrong_at_one_density():
    factors = {"dense": 1, "gather": 0.5, "wrong": 0.25}
    run = make_run(
        density_group("layer"),
        tuple(factors),
        times=lambda name, _: DENSE_SECONDS * factors[name],
        phases=(Phase.FORWARD,),
        noise=QUIET,
    )
    found = groups(compare(wrong_at_last(run, "wrong", Phase.FORWARD)), (Phase.FORWARD,))
    assert break_even_sentences(found, "dense") == [
        "For layer: gather is faster than dense at every measured density."
    ]
    shown = {curve.implementation: outcome(found[0], curve, "dense") for curve in found[0].curves}
    assert shown["wrong"] == "wrong at some density"
    assert shown["gather"] == "no crossing: faster at every measured density"
    assert "wrong" not in curves_caption(found, "dense")


def test_the_caption_of_curves_states_what_they_show():
    crossing = curves(lambda density: density / 0.38)
    assert curves_caption(crossing, "dense").replace("\u00a0", " ") == (
        "faster than dense, forward: gather below 38 %"
    )
    flat = curves(lambda _density: 2.0)
    assert curves_caption(flat, "dense") == "no implementation crosses dense"
