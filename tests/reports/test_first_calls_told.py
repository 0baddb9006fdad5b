"""What a page tells of the first calls of visits."""

import csv
import io
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.results.schema import Samples
from reports.exports import to_csv
from reports.first_calls import first_calls
from reports.joining import join
from reports.page import render
from reports.speed import Setting, compare
from reports.standing import standings
from reports.words import TIMES
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import (
    DENSE_SECONDS,
    HEADLINE,
    PHASE_FACTOR,
    Noise,
    make_run,
    workload,
)

SETTING = Setting("cpu", "float32")
QUIET = Noise(rounds=0.003, processes=0.0005, length=6)
FACTORS = {"dense": 1.0, "gather": 3.0}
FIRST = {"dense": 1.25, "gather": 5.0}


def run_of(factors=FIRST, seconds=None):
    """A run whose first calls take this many times as long as those after them."""
    names = tuple(FACTORS)
    seconds = seconds or {"dense": DENSE_SECONDS, "gather": DENSE_SECONDS / 8}
    run = make_run(
        [workload("one", 0.1), workload("two", 0.2)],
        names,
        times=lambda name, _: seconds[name],
        phases=HEADLINE,
        noise=QUIET,
    )

    def changed(cell):
        processes = tuple(
            replace(
                samples,
                first_calls=tuple(
                    round(each[0] / samples.calls * factors[cell.implementation])
                    for each in samples.rounds
                ),
            )
            for samples in cell.timing.processes
        )
        return replace(cell, timing=replace(cell.timing, processes=processes))

    units = [replace(unit, cells=tuple(map(changed, unit.cells))) for unit in run.units]
    return replace(run, units=tuple(units))


def without_first_calls():
    return make_run([workload("one", 0.1)], tuple(FACTORS), phases=HEADLINE, noise=QUIET)


def test_ratios_of_first_calls_are_paired_like_those_of_others():
    table, _ = compare(run_of()).tables
    row = table.find("gather", Phase.FORWARD)
    assert row.ratio.interval.estimate == pytest.approx(1 / 8, rel=0.01)
    assert row.first_ratio.interval.estimate == pytest.approx(5 / 1.25 / 8, rel=0.01)
    assert row.first_seconds.estimate == pytest.approx(5 * DENSE_SECONDS / 8, rel=0.01)
    baseline = table.find("dense", Phase.FORWARD)
    assert baseline.first_seconds.estimate == pytest.approx(1.25 * DENSE_SECONDS, rel=0.01)
    assert baseline.first_ratio is None


def test_the_table_has_each_workloads_first_calls_and_calls_after_them():
    found = first_calls(compare(run_of()), SETTING)
    assert [each.phase for each in found] == list(HEADLINE)
    for each in found:
        assert each.implementations == ("dense", "gather")
        assert [(number, name) for number, name, _ in each.lines] == [(0, "one"), (1, "two")]
        for _, _, pairs in each.lines:
            relative = [first.estimate / after.estimate for first, after in pairs]
            assert relative == pytest.approx([1.25, 5.0], rel=0.01)
    assert first_calls(compare(run_of()), Setting("cpu", "float64")) == []
    assert first_calls(compare(without_first_calls()), SETTING) == []


def test_each_phase_has_the_times_of_its_own():
    for each in first_calls(compare(run_of()), SETTING):
        expected = [DENSE_SECONDS * PHASE_FACTOR[each.phase] * factor for factor in (1, 1 / 8)]
        for _, _, pairs in each.lines:
            assert [after.estimate for _, after in pairs] == pytest.approx(expected, rel=0.01)


def test_a_workload_of_which_nobodys_first_calls_were_timed_has_no_line():
    run = run_of()
    units = (without_first_calls().units[0], run.units[1])
    for each in first_calls(compare(replace(run, units=units)), SETTING):
        assert [(number, name) for number, name, _ in each.lines] == [(1, "two")]


def test_the_page_shows_them_beside_the_others():
    page = PageParser(render(run_of()))
    text = page.text("first-calls")
    assert "forward, float32 on cpu: first calls" in text
    head, first, _ = page.table("forward, float32 on cpu: time of a first call").rows
    assert head == ["Workload", "dense", "gather"]
    assert first[1].endswith(f", 1.25{TIMES}")
    assert first[2].endswith(f", 5.00{TIMES}")
    rows = page.table("how each implementation did").rows
    place = rows[0].index("Called once")
    (gather,) = [row for row in rows if row[0] == "gather"][:1]
    assert gather[place] == f"0.500{TIMES}"
    assert "In the first call after others were at work, gather is 2.0 times as fast as dense" in (
        render(run_of())
    )


def test_others_are_said_to_have_been_at_work_only_where_there_were_others():
    def text(run):
        return PageParser(render(run)).text("first-calls")

    alone = replace(
        run_of(),
        units=tuple(
            replace(unit, cells=tuple(c for c in unit.cells if c.implementation == "gather"))
            for unit in run_of().units
        ),
    )
    assert "mostly finds the data and code of another one" in text(run_of())
    assert "another one" not in text(alone)
    assert "No other implementation was measured" in text(alone)


def test_a_run_without_them_has_no_such_section():
    page = PageParser(render(without_first_calls()))
    assert "first-calls" not in page.sections
    assert "Called once" not in render(without_first_calls())


def test_means_of_first_calls_are_over_the_same_workloads_as_those_beside_them():
    later = run_of()
    earlier = make_run([workload("three", 0.1)], tuple(FACTORS), phases=HEADLINE, noise=QUIET)
    page = PageParser(render(join([earlier, later])))
    assert [row[0] for row in page.table("time of a first call").rows[1:]] == ["one", "two"]
    rows = page.table("how each implementation did").rows
    place = rows[0].index("Called once")
    assert {row[place] for row in rows if row[0] == "gather"} == {"·"}
    _, gather = standings(compare(later), SETTING, Phase.FORWARD)
    assert gather.first_calls.estimate == pytest.approx(0.5, rel=0.01)


def test_csv_has_them():
    rows = list(csv.DictReader(io.StringIO(to_csv([run_of()]))))
    gather = next(row for row in rows if row["implementation"] == "gather")
    assert float(gather["first_call_ratio"]) == pytest.approx(0.5, rel=0.01)
    low, high = float(gather["first_call_ratio_low"]), float(gather["first_call_ratio_high"])
    assert low < 0.5 < high
    seconds = float(gather["first_call_seconds"])
    assert float(gather["first_call_seconds_low"]) < seconds
    (dense, *_) = rows
    assert dense["first_call_ratio"] == ""
    (row, *_) = csv.DictReader(io.StringIO(to_csv([without_first_calls()])))
    assert row["first_call_seconds"] == row["first_call_ratio"] == ""


@pytest.mark.parametrize("first", [(1,), (1, 2, 3), (0, 1)])
def test_every_round_has_a_first_call_or_none_has(first):
    with pytest.raises(ValueError, match=r"first call|positive"):
        Samples(0, 1, ((1,), (2,)), first_calls=first)
