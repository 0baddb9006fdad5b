"""Maps of break-even, phases stacked, peak memory, what was checked: computed from what cells carry."""

from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.results.schema import Status
from reports import break_even, break_even_map
from reports.conformance import conformance, finding
from reports.memory import memory
from reports.page import render
from reports.speed import Setting, compare
from reports.stacked import stacks, summarise
from reports.unmeasured import unmeasured
from reports.words import TIMES
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import (
    ALL_PHASES,
    DENSE_SECONDS,
    HEADLINE,
    Noise,
    cell,
    density_group,
    make_run,
    workload,
)

SETTING = Setting("cpu", "float32")
QUIET = Noise(rounds=0.003, processes=0.0005, length=6)


def grids_and_channels(others=4):
    """gather crosses dense at 38 % on grid 96, at 19 % on grid 192, nowhere with other channels."""
    places = ((96, 32), (192, 32), (96, others))
    records = [
        replace(record, grid_size=(grid, grid), channels=channels)
        for grid, channels in places
        for record in density_group(f"2d-submanifold-k3s1-c{channels}-grid{grid}-uniform")
    ]

    def times(name, record):
        if name == "dense":
            return DENSE_SECONDS
        if record.channels != 32:
            return DENSE_SECONDS * 2
        return DENSE_SECONDS * record.density / (0.38 * 96 / record.grid_size[0])

    return make_run(records, ("dense", "gather"), times=times, phases=HEADLINE, noise=QUIET)


def test_groups_that_differ_in_grid_size_and_channels_only_make_a_map():
    comparison = compare(grids_and_channels())
    curves = break_even.groups(comparison, comparison.headline)
    (found,) = break_even_map.maps(comparison, curves)
    assert found.name == "2d-submanifold-k3s1-any channels-any grid-uniform"
    said = {
        (place.grid, place.channels): break_even_map.said(
            break_even_map.find(place, "gather", Phase.FORWARD)
        )
        for place in found.places
    }
    assert said == {
        (96, 4): "nowhere",
        (96, 32): "38\u00a0%",
        (192, 32): "19\u00a0%",
    }
    assert list(said) == sorted(said)


@pytest.mark.parametrize("others", [4, 64])
def test_the_figure_of_a_map_holds_the_commonest_number_of_channels(others):
    comparison = compare(grids_and_channels(others))
    curves = break_even.groups(comparison, comparison.headline)
    (found,) = break_even_map.maps(comparison, curves)
    figure = break_even_map.map_figure(found, comparison, "map")
    assert "forward, by grid size" in figure
    assert "forward, by channels" not in figure, "one place with a crossing makes no curve"


def test_the_shade_of_a_place_is_the_stronger_the_more_densities_pay():
    comparison = compare(grids_and_channels())
    (found,) = break_even_map.maps(comparison, break_even.groups(comparison, comparison.headline))
    shades = [
        break_even_map.shade(break_even_map.find(place, "gather", Phase.FORWARD))
        for place in found.places
    ]
    assert shades == ["slower mid", "faster mid", "faster near"]


def test_a_place_of_a_map_has_a_curve_of_every_phase():
    comparison = compare(grids_and_channels())
    (found,) = break_even_map.maps(comparison, break_even.groups(comparison, comparison.headline))
    for place in found.places:
        for group in place.groups:
            curve = break_even_map.find(place, "gather", group.phase)
            assert any(curve is each for each in group.curves)


def test_suites_and_element_types_have_maps_of_their_own():
    run = grids_and_channels()
    other = tuple(
        replace(unit, workload=replace(unit.workload, suite="other")) for unit in run.units
    )
    double = tuple(
        replace(unit, cells=tuple(replace(each, dtype="float64") for each in unit.cells))
        for unit in run.units
    )
    for units in (run.units + other, run.units + double):
        comparison = compare(replace(run, units=units))
        found = break_even_map.maps(comparison, break_even.groups(comparison, comparison.headline))
        assert [len(each.places) for each in found] == [3, 3]
        for each in found:
            assert {len(place.groups) for place in each.places} == {len(HEADLINE)}


def test_who_is_faster_above_a_density_is_said_to_be_and_has_no_place_in_the_figure():
    records = [
        replace(record, grid_size=(grid, grid))
        for grid in (96, 192)
        for record in density_group(f"2d-submanifold-k3s1-c32-grid{grid}-uniform")
    ]
    run = make_run(
        records,
        ("dense", "gather"),
        times=lambda name, record: DENSE_SECONDS * (name == "dense" or 0.3 / record.density),
        noise=QUIET,
    )
    comparison = compare(run)
    (found,) = break_even_map.maps(comparison, break_even.groups(comparison, comparison.headline))
    curve = break_even_map.find(found.places[0], "gather", Phase.FORWARD)
    assert break_even_map.said(curve) == "above 30\u00a0%"
    assert break_even_map.shade(curve) == ""
    assert break_even_map.map_figure(found, comparison, "map") == ""


def test_a_curve_that_crosses_twice_is_told_whole_and_has_no_place_in_the_figure():
    def times(name, record):
        if name == "gather" and 0.02 < record.density < 0.5:
            return DENSE_SECONDS / 2
        return DENSE_SECONDS if name == "dense" else DENSE_SECONDS * 2

    records = [
        replace(record, grid_size=(grid, grid))
        for grid in (96, 192)
        for record in density_group(f"2d-submanifold-k3s1-c32-grid{grid}-uniform")
    ]
    run = make_run(records, ("dense", "gather"), times=times, phases=HEADLINE, noise=QUIET)
    comparison = compare(run)
    curves = break_even.groups(comparison, comparison.headline)
    (found,) = break_even_map.maps(comparison, curves)
    curve = break_even_map.find(found.places[0], "gather", Phase.FORWARD)
    assert len(curve.crossings) == 2
    assert break_even_map.said(curve).startswith("changes at ")
    assert break_even_map.band(curve) == break_even_map.shade(curve) == ""
    assert break_even_map.map_figure(found, comparison, "map") == ""


def test_a_single_grid_size_and_number_of_channels_makes_no_map():
    comparison = compare(make_run(density_group(), noise=QUIET))
    assert not break_even_map.maps(comparison, break_even.groups(comparison, comparison.headline))


def stacked_run(phases, name="gather"):
    records = [workload("one", 0.1)]
    return make_run(records, (name,), times=lambda *_: DENSE_SECONDS, phases=phases, noise=QUIET)


def test_phases_are_stacked_and_what_was_not_timed_apart_stands_together():
    run = stacked_run(ALL_PHASES)
    ((_, _, (stack,)),) = stacks(run, compare(run), SETTING)
    assert list(stack.seconds) == ["encode", "map", "forward", "backward and loss"]
    expected = (0.1, 0.2, 1.0, 2.0)
    for seconds, factor in zip(stack.seconds.values(), expected, strict=True):
        assert seconds == pytest.approx(factor * DENSE_SECONDS, rel=0.02)
    assert stack.measured == pytest.approx(3.3 * DENSE_SECONDS, rel=0.02)
    run = stacked_run(HEADLINE)
    ((_, _, (stack,)),) = stacks(run, compare(run), SETTING)
    assert stack.seconds["encode and map"] == pytest.approx(0.3 * DENSE_SECONDS, rel=0.05)


def test_who_starts_from_a_dense_tensor_encodes_nothing_in_a_training_step():
    run = stacked_run(ALL_PHASES, "dense")
    ((_, _, (stack,)),) = stacks(run, compare(run), SETTING)
    assert list(stack.seconds) == ["map", "forward", "backward and loss"]
    run = stacked_run(HEADLINE, "dense")
    ((_, _, (stack,)),) = stacks(run, compare(run), SETTING)
    assert list(stack.seconds) == ["forward", "backward and loss"]


def test_a_warm_pass_is_split_as_its_parts_are():
    run = stacked_run(ALL_PHASES)
    cells = tuple(
        replace(each, parts={"gather": 1e5, "scatter": 2e5, "rest": 7e5})
        if each.phase is Phase.FORWARD
        else each
        for each in run.units[0].cells
    )
    changed = replace(run, units=(replace(run.units[0], cells=cells),))
    found = stacks(changed, compare(changed), SETTING)
    ((_, _, (stack,)),) = found
    assert stack.seconds["gather and scatter"] == pytest.approx(0.3 * DENSE_SECONDS, rel=0.02)
    assert stack.seconds["multiply"] == pytest.approx(0.7 * DENSE_SECONDS, rel=0.02)
    (summary,) = summarise(found)
    assert sum(summary.shares.values()) == pytest.approx(1)


def test_peaks_are_those_of_the_phase_that_holds_most_and_are_compared_with_the_baseline():
    run = make_run([workload("one", 0.1)], ("dense", "gather"), phases=HEADLINE, noise=QUIET)
    peaks = {"dense": 4_000_000, "gather": 1_000_000}
    cells = tuple(
        replace(each, peak_bytes=peaks[each.implementation]) for each in run.units[0].cells
    )
    measured = replace(run, units=(replace(run.units[0], cells=cells),))
    found = memory(compare(measured), SETTING)
    assert found.phase is Phase.TRAIN_STEP
    assert found.lines == ((0, "one", (4_000_000, 1_000_000)),)
    assert found.relative == (None, 0.25)
    assert memory(compare(run), SETTING) is None
    said = f"train_step, float32 on cpu: against dense, in the median workload gather 0.250{TIMES}"
    assert said in PageParser(render(measured)).text("memory")


def test_workloads_of_a_group_that_ended_alike_are_one_line_with_numbered_reasons():
    run = make_run(density_group(), ("dense", "gather", "brute"), noise=QUIET)
    bad = cell(
        run.units[0].workload, "gather", Phase.FORWARD, status=Status.INCORRECT, reason="off by one"
    )
    first = tuple(
        bad if (each.implementation, each.phase) == ("gather", Phase.FORWARD) else each
        for each in run.units[0].cells
    )
    run = replace(run, units=(replace(run.units[0], cells=first), *run.units[1:]))
    comparison = compare(run)
    lines = conformance(comparison, SETTING, unmeasured(run))
    assert [line.workloads for line in lines] == [1, 8]
    assert lines[0].entries[1].text == "✓ 2, ✗ 1 incorrect"
    assert lines[0].entries[1].reasons == (1,)
    assert lines[1].entries[1].text == "✓ 3, dense"
    assert lines[1].entries[2].text == "\N{EN DASH} 3 unsupported"
    assert finding(lines, comparison.implementations) == "failed: gather in 1 workload"
    assert finding(lines[1:], comparison.implementations) == (
        "nothing that was timed or tried failed"
    )
