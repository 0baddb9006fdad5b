"""Which implementation to use: one answer for each group, from the cells that are fastest."""

import re
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.results.schema import Unit
from reports.exports import to_markdown
from reports.page import render
from reports.recommendation import caption, covered, recommendations, said
from reports.speed import compare
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import (
    DENSE_SECONDS,
    Noise,
    cell,
    density_group,
    make_run,
    size_group,
    workload,
    wrong_at_last,
)

QUIET = Noise(rounds=0.003, processes=0.0005)
LOUD = Noise(processes=0.1)


def ascii_only(text):
    """Without dashes, signs of multiplication and spaces that do not break."""
    return text.translate({0x2013: "-", 0xD7: "x", 0xA0: " "})


def told(run, phase=Phase.FORWARD):
    comparison = compare(run)
    (setting,) = comparison.settings
    found = recommendations(comparison, setting)
    return {(each.name, ascii_only(covered(each))): ascii_only(said(each, phase)) for each in found}


def test_a_group_is_cut_where_another_becomes_the_fastest():
    assert told(make_run(density_group("layer"))) == {
        ("layer", "density 0.5-100 %"): "gather up to 20 % (1.9-76x), dense from 40 %"
    }


@pytest.mark.parametrize(
    ("gather", "wanted"),
    [
        ((0.5, 0.5, 0.5, 0.5), "gather (2.0x)"),
        ((0.5, 2.0, 0.5, 0.5), "gather at 24 (2.0x), dense at 48, gather from 96 (2.0x)"),
        ((2.0, 0.25, 0.5, 2.0), "dense at 24, gather 48-96 (2.0-4.0x), dense at 192"),
        ((2.0, 2.0, 2.0, 2.0), "dense"),
    ],
)
def test_spans_say_where_they_begin_and_end(gather, wanted):
    factors = dict(zip((24, 48, 96, 192), gather, strict=True))

    def times(name, record):
        return DENSE_SECONDS * (factors[record.position] if name == "gather" else 1)

    found = told(make_run(size_group(), ("dense", "gather"), times=times))
    assert found == {("strokes", "grid size 24-192"): wanted}


@pytest.mark.parametrize(
    ("slower", "wanted"),
    [
        (1.03, "gather (0.97-2.0x)"),
        (1.08, "gather up to 96 (2.0x), dense at 192"),
    ],
)
def test_nobody_changes_for_less_than_five_percent(slower, wanted):
    def times(name, record):
        factor = slower if record.position == 192 else 0.5
        return DENSE_SECONDS * (factor if name == "gather" else 1)

    found = told(make_run(size_group(), ("dense", "gather"), times=times))
    assert found == {("strokes", "grid size 24-192"): wanted}


def test_one_that_may_be_the_fastest_somewhere_and_is_not_named_leaves_a_doubt():
    def times(name, record):
        factor = {"gather": 0.5, "other": 0.5 if record.position == 48 else 2}
        return DENSE_SECONDS * factor.get(name, 1)

    names = ("dense", "gather", "other")
    quiet, noisy = (
        make_run(size_group(), names, times=times, noise=noise) for noise in (QUIET, LOUD)
    )
    assert told(quiet) == {("strokes", "grid size 24-192"): "gather (2.0x)"}
    assert told(noisy) == {("strokes", "grid size 24-192"): "gather (1.8-2.1x) ?"}


def one_process(timing, seconds):
    """A timing of a single process with these rounds, of one call each."""
    rounds = tuple((round(1e9 * each),) for each in seconds)
    return replace(timing, processes=(replace(timing.processes[0], calls=1, rounds=rounds),))


def test_the_fastest_is_so_by_the_rounds_that_it_shares_with_others():
    """Its time by itself, a median over other rounds, may be the longer one."""
    rounds = {"dense": (1.0, 1.0, 1.0, 10.0, 10.0), "gather": (0.9, 2.0, 2.0, 2.0, 2.0)}
    run = make_run([workload("alone", 0.1)], tuple(rounds), phases=(Phase.FORWARD,))
    cells = tuple(
        replace(each, timing=one_process(each.timing, rounds[each.implementation]))
        for each in run.units[0].cells
    )
    run = replace(run, units=(replace(run.units[0], cells=cells),))
    dense, gather = compare(run).tables[0].rows
    assert dense.seconds.estimate < gather.seconds.estimate
    assert gather.ratio.interval.estimate < 1 / 1.05
    assert told(run) == {("alone", ""): "gather (1.1x) ?"}


def test_no_choice_bridges_a_place_where_it_has_no_time():
    def times(name, record):
        lost = name == "gather" and record.position == 48
        return None if lost else DENSE_SECONDS * (0.5 if name == "gather" else 1)

    found = told(make_run(size_group(), ("dense", "gather"), times=times))
    assert found == {("strokes", "grid size 24-192"): "gather at 24 (2.0x), gather from 96 (2.0x)"}


def test_who_is_wrong_at_one_place_of_a_group_is_recommended_at_none():
    def times(name, record):
        return DENSE_SECONDS * {"dense": 1, "gather": 0.5, "wrong": 0.25}[name]

    run = make_run(size_group(), ("dense", "gather", "wrong"), times=times)
    assert told(run) == {("strokes", "grid size 24-192"): "wrong (4.0x)"}
    run = wrong_at_last(run, "wrong", Phase.FORWARD)
    assert told(run) == {("strokes", "grid size 24-192"): "gather (2.0x)"}
    assert told(run, Phase.TRAIN_STEP) == {("strokes", "grid size 24-192"): "wrong (4.0x)"}
    assert "whoever is wrong somewhere in it is not named" in caption(compare(run))


def test_a_choice_is_in_doubt_where_another_cannot_be_told_apart():
    def times(name, _):
        return DENSE_SECONDS * (1.2 if name == "dense" else 1)

    record = workload("alone", 0.2)
    quiet = make_run([record], ("dense", "gather"), times=times)
    assert told(quiet) == {("alone", ""): "gather (1.2x)"}
    noisy = make_run([record], ("dense", "gather"), times=times, noise=Noise(processes=0.2))
    (text,) = told(noisy).values()
    assert re.fullmatch(r"gather \(1\.\dx\) \?", text)
    once = make_run([record], ("dense", "gather"), times=times, noise=Noise(count=1, length=1))
    assert told(once) == {("alone", ""): "gather (1.2x) ?"}


def test_a_workload_by_itself_may_have_several_fastest_and_has_no_position():
    record = workload("alone", 0.2)
    run = make_run([record], ("dense", "gather"), times=lambda *_: DENSE_SECONDS)
    timing = run.units[0].cells[0].timing
    same = tuple(replace(each, timing=timing) for each in run.units[0].cells)
    run = replace(run, units=(replace(run.units[0], cells=same),))
    assert told(run) == {("alone", ""): "dense or gather"}


def test_where_one_implementation_alone_has_a_time_nothing_is_recommended():
    assert told(make_run(density_group(), ("dense", "brute"))) == {}
    run = make_run(density_group("layer"), ("gather", "masked"))
    assert "in brackets" not in caption(compare(run))
    assert told(run) == {("layer", "density 0.5-100 %"): "gather up to 40 %, masked from 70 %"}


def test_a_phase_that_failed_everywhere_is_left_open():
    run = make_run([workload("one", 0.1)], ("dense", "gather"))
    cells = tuple(
        cell(run.units[0].workload, each.implementation, each.phase)
        if each.phase is Phase.TRAIN_STEP
        else each
        for each in run.units[0].cells
    )
    other = make_run([workload("two", 0.1)], ("dense", "gather")).units[0]
    run = replace(run, units=(Unit(run.units[0].workload, cells, {}), other))
    assert told(run, Phase.TRAIN_STEP) == {("one", ""): "", ("two", ""): "gather (3.8x)"}


def test_page_and_markdown_show_the_same():
    run = make_run(density_group("layer"))
    parsed = PageParser(render(run))
    table = next(each for each in parsed.tables if each.caption.startswith("Which to use"))
    wanted = ["gather up to 20 % (1.9-76x),", "dense from 40 %"]
    assert table.rows[0] == ["Workloads", "forward", "forward_cold", "train_step"]
    assert ascii_only(table.rows[1][1]).split() == " ".join(wanted).split()
    line = next(line for line in to_markdown(run).splitlines() if line.startswith("| layer, "))
    assert ascii_only(line.split(" | ")[1]) == " ".join(wanted)
