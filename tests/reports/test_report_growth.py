"""Exponents are found where they were planted, and claimed only where the data allow it."""

from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.statistics.intervals import Interval
from reports import figures, words
from reports.break_even import groups
from reports.growth import power, studies
from reports.growth_sentences import growth_sentence, longest_growth
from reports.page import render
from reports.speed import compare
from reports.verdicts import findings
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import (
    DENSE_SECONDS,
    Noise,
    density_group,
    make_run,
    size_group,
)

SIZES = (24, 48, 96, 192, 384, 768)
QUIET = Noise(rounds=0.003, processes=0.001)
EXPONENTS = {"dense": 2.0, "gather": 1.1, "masked": 2.0}


def growing_run(exponents=EXPONENTS, *, sizes=SIZES, noise=QUIET, records=None, fixed=0.0):
    """Times that grow with these powers, on top of a fixed cost."""

    def times(name, record):
        grown = (record.position / 24) ** exponents[name]
        return DENSE_SECONDS * (fixed + grown)

    return make_run(
        records or size_group(sizes),
        tuple(exponents),
        times=times,
        noise=noise,
        phases=(Phase.FORWARD, Phase.FORWARD_COLD),
    )


def with_peaks(run, peak_of):
    """The same run with peaks of memory by implementation and size."""
    units = tuple(
        replace(
            unit,
            cells=tuple(
                replace(cell, peak_bytes=peak_of(cell.implementation, unit.workload.position))
                for cell in unit.cells
            ),
        )
        for unit in run.units
    )
    return replace(run, units=units)


def studies_of(run):
    comparison = compare(run)
    return studies(comparison, groups(comparison, comparison.headline))


def line(part, name):
    return next(found for found in part if found.implementation == name)


@pytest.mark.parametrize("planted", [-0.5, 0.0, 1.0, 2.0, 3.0])
def test_a_power_law_is_fitted_exactly_with_no_interval_to_speak_of(planted):
    found = power(SIZES, [7 * size**planted for size in SIZES])
    assert found.estimate == pytest.approx(planted, abs=1e-9)
    assert found.high - found.low < 1e-6


def test_fewer_than_three_sizes_have_no_power():
    assert power((24, 48), (1, 4)) is None
    assert power((24, 48, 96), (1, 4, 16)) is not None


def test_an_interval_covers_the_departure_from_the_law():
    """A fixed cost bends the curve, and more sizes on the same bend make it no narrower than it is."""
    bent = power(SIZES, [100 + size**2 / 24 for size in SIZES])
    assert bent.low < 1.5 < bent.high < 2.5
    assert bent.high - bent.low > 0.5


def test_planted_powers_lie_in_their_intervals():
    (study,) = studies_of(growing_run())
    assert (study.axis, study.sizes) == ("grid size", SIZES)
    for part in study.parts:
        for name, planted in EXPONENTS.items():
            found = line(part.times, name)
            assert found.power.estimate == pytest.approx(planted, abs=0.02)
            assert found.power.low <= planted + 0.005
            assert found.power.high >= planted - 0.005
            assert found.last_doubling == pytest.approx(2**planted, rel=0.02)


def test_the_last_doubling_shows_what_a_fixed_cost_hides():
    (study,) = studies_of(growing_run({"dense": 2.0, "gather": 1.0}, fixed=30.0))
    gather = line(study.parts[0].times, "gather")
    assert gather.power.estimate < 0.5
    assert gather.last_doubling == pytest.approx((30 + 32) / (30 + 16), rel=0.02)


def test_growth_relative_to_dense_is_judged_by_the_ratios_themselves():
    (study,) = studies_of(growing_run())
    part = study.parts[0]
    assert line(part.times, "dense").relative is None
    assert line(part.times, "gather").relative.high < -0.8
    sentence = growth_sentence(study, part, "dense")
    assert "from grid size 24 to 768, time grows with the power" in sentence
    assert "1.10 for gather (" in sentence
    assert "2.00 for dense (" in sentence
    assert sentence.endswith(
        "So gather grows slower than dense and masked grows not distinguishably from dense."
    )


def test_what_grows_faster_than_dense_is_called_so():
    (study,) = studies_of(growing_run({"dense": 1.0, "gather": 2.0}))
    sentence = growth_sentence(study, study.parts[0], "dense")
    assert sentence.endswith("So gather grows faster than dense.")


def test_two_sizes_make_a_study_without_a_claim():
    (study,) = studies_of(growing_run(sizes=(24, 48)))
    assert growth_sentence(study, study.parts[0], "dense") == ""
    assert line(study.parts[0].times, "dense").power is None
    assert line(study.parts[0].times, "dense").last_doubling == pytest.approx(4, rel=0.02)
    page = PageParser(render(growing_run(sizes=(24, 48))))
    table = page.table("The power of grid size with which time grows")
    assert "slower than" not in table.caption
    dense = next(row for row in table.rows if row[0] == "dense")
    assert dense[1::2] == ["·", "·"]
    assert "to the power" not in page.text("verdict")


def test_sizes_without_a_time_are_left_out_of_the_fit():
    run = growing_run()
    units = tuple(
        replace(unit, cells=tuple(c for c in unit.cells if c.implementation != "gather"))
        if unit.workload.position in {24, 768}
        else unit
        for unit in run.units
    )
    (study,) = studies_of(replace(run, units=units))
    gather = line(study.parts[0].times, "gather")
    assert gather.values[0] is gather.values[-1] is None
    assert gather.power.estimate == pytest.approx(1.1, abs=0.05)


def test_densities_make_no_study_and_the_section_is_left_out():
    run = make_run(density_group())
    assert studies_of(run) == []
    page = PageParser(render(run))
    assert "growth" not in page.sections
    assert "#growth" not in {value for _, name, value in page.attributes if name == "href"}


def test_the_verdict_states_the_growth_of_the_study_with_the_most_sizes():
    records = [*size_group((24, 48, 96), "short"), *size_group(SIZES, "long")]
    records += size_group(range(1, 10), "batches", axis="batch size")
    comparison = compare(growing_run(records=records))
    curves = groups(comparison, comparison.headline)
    found = findings(comparison, curves, studies(comparison, curves))
    assert [finding.sentences[-1].startswith("For long: from grid size") for finding in found] == [
        True,
        True,
    ]


def test_without_three_grid_sizes_the_verdict_says_nothing_of_growth():
    run = growing_run(records=size_group((24, 48)))
    setting = compare(run).settings[0]
    assert longest_growth(studies_of(run), setting, Phase.FORWARD, "dense") is None


def test_peak_memory_stands_beside_the_times_with_its_own_power():
    run = with_peaks(
        growing_run(), lambda name, size: int(1000 * size ** (2 if name == "dense" else 1))
    )
    (study,) = studies_of(run)
    assert line(study.parts[0].peaks, "dense").power.estimate == pytest.approx(2, abs=0.01)
    assert line(study.parts[0].peaks, "gather").power.estimate == pytest.approx(1, abs=0.01)
    page = PageParser(render(run))
    table = page.table("the most memory that a call took")
    start = next(i for i, row in enumerate(table.rows) if row == ["forward, peak memory"])
    rows = {row[0]: row for row in table.rows[start + 1 : start + 4]}
    assert rows["dense"][1:7] == ["576 kB", "2.30 MB", "9.22 MB", "36.9 MB", "147 MB", "590 MB"]
    assert rows["dense"][7] == "2.00"
    assert "forward_cold, peak memory" in render(run)


def test_unknown_peaks_are_no_peaks():
    (study,) = studies_of(with_peaks(growing_run(), lambda name, _: 0 if name == "dense" else None))
    assert study.parts[0].peaks == ()
    assert "peak memory</text>" not in render(growing_run())


def test_the_section_shows_times_by_size():
    page = PageParser(render(growing_run()))
    table = page.table("strokes, float32 on cpu: time of a call")
    assert table.rows[0] == [
        "Implementation",
        *(str(size) for size in SIZES),
        "Power",
        "99 % interval",
        "Last doubling",
    ]
    dense = next(row for row in table.rows if row[0] == "dense")
    assert dense[1] == "1.00 ms"
    assert len(dense) == len(table.rows[0])


def test_the_section_shows_powers_by_phase_and_who_grows_slower_than_dense():
    page = PageParser(render(growing_run()))
    table = page.table("The power of grid size with which time grows")
    assert table.rows[0][1::2] == ["forward: power", "forward_cold: power"]
    gather = next(row for row in table.rows if row[0] == "gather")
    assert gather[1].startswith("1.1")
    assert gather[2].startswith("2.1")
    said = " ".join(table.caption.split())
    assert "In forward and forward_cold, gather grows slower than dense and masked " in said
    assert "with the power" in page.text("verdict")


def test_an_axis_of_ones_own_labels_the_figure():
    page = render(growing_run(records=size_group(axis="width (filters)")))
    assert "width (filters)" in page
    assert "position in the group" not in page


def test_what_a_run_file_calls_its_axis_stays_out_of_the_figure():
    name = "<script>alert(1)</script>"
    run = growing_run(records=size_group(axis=name))
    page = render(run)
    assert "<script>alert" not in page
    assert "position in the group" in page


@pytest.mark.parametrize(
    ("value", "said"), [(1.1, "1.10"), (-0.004, "0.00"), (-1.5, "\N{MINUS SIGN}1.50")]
)
def test_an_exponent_has_two_digits_and_a_proper_sign(value, said):
    assert words.power(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(20e6, "20 MB"), (1e9, "1 GB"), (500.0, "500 B"), (2000.0, "2 kB")]
)
def test_a_tick_of_memory_has_its_unit(value, said):
    assert words.plain_bytes(value) == said


def test_a_very_wide_interval_does_not_squeeze_the_curves():
    seconds = [Interval(1.0, 1e-6, 1e6), Interval(4.0, 3.9, 4.1)]
    low, high = figures._seconds_range(seconds)
    assert low == pytest.approx(1 / figures.MOST_OF_A_BAND, rel=0.2)
    assert high == pytest.approx(4 * figures.MOST_OF_A_BAND, rel=0.2)
    narrow = figures._seconds_range([Interval(1.0, 0.99, 1.01)])
    assert narrow == pytest.approx((0.99 / figures.ROOM, 1.01 * figures.ROOM))
