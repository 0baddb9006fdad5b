"""What a page of a GPU's run tells of its two clocks."""

import csv
import io
from dataclasses import replace

import pytest

from bench.phases import Phase
from bench.results.schema import Timing
from reports.clocks import clocks, finding
from reports.exports import to_csv
from reports.page import render
from reports.speed import Setting, compare
from reports.words import TIMES
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import DENSE_SECONDS, HEADLINE, Noise, make_run, workload

SETTING = Setting("cuda", "float32")
QUIET = Noise(rounds=0.003, processes=0.0005, length=6)


def run_on_a_gpu(wall_factors, late=0):
    """A run whose passes take this many times as long by the wall clock, by implementation."""
    run = make_run([workload("one", 0.1)], tuple(wall_factors), phases=HEADLINE, noise=QUIET)

    def changed(cell):
        by_events = cell.phase is Phase.FORWARD
        factor = wall_factors[cell.implementation]
        processes = tuple(
            replace(
                samples,
                **{
                    "wall_rounds" if by_events else "device_rounds": tuple(
                        (round(each[0] * (factor if by_events else 1 / factor)),)
                        for each in samples.rounds
                    )
                },
                is_coarse=by_events,
                late=late if by_events else 0,
            )
            for samples in cell.timing.processes
        )
        return replace(cell, device="cuda", timing=Timing("CUDA events", processes))

    units = [replace(unit, cells=tuple(map(changed, unit.cells))) for unit in run.units]
    return replace(run, units=tuple(units))


def test_both_times_of_a_call_stand_side_by_side():
    found = clocks(compare(run_on_a_gpu({"dense": 1.5, "gather": 4.0})), SETTING)
    assert [each.phase for each in found] == list(HEADLINE)
    for each in found:
        assert each.implementations == ("dense", "gather")
        assert each.relative == pytest.approx((1.5, 4.0), rel=0.01)
        assert finding(each) == f"dense 1.50{TIMES} and gather 4.00{TIMES}"
    ((number, name, ((device, wall), _)),) = found[0].lines
    assert (number, name) == (0, "one")
    assert (device, wall) == pytest.approx((DENSE_SECONDS, 1.5 * DENSE_SECONDS), rel=0.01)
    ((_, _, ((device, wall), _)),) = found[1].lines  # a cold pass is timed by the wall clock
    assert device == pytest.approx(wall / 1.5, rel=0.01)


def test_the_page_of_a_gpus_run_has_them_and_that_of_a_cpus_run_has_not():
    page = PageParser(render(run_on_a_gpu({"dense": 1.5, "gather": 4.0})))
    assert f"in the median workload dense 1.50{TIMES} and gather 4.00{TIMES}" in page.text("clocks")
    assert page.table("device time, wall time").rows[0] == ["Workload", "dense", "gather"]
    run = make_run([workload("one", 0.1)], ("dense", "gather"), phases=HEADLINE, noise=QUIET)
    assert "clocks" not in PageParser(render(run)).sections


def test_the_other_clocks_time_is_a_column_of_the_csv_file():
    run = run_on_a_gpu({"dense": 1.5, "gather": 4.0})
    rows = list(csv.DictReader(io.StringIO(to_csv([run]))))
    for row in rows:
        factor = {"dense": 1.5, "gather": 4.0}[row["implementation"]]
        ratio = float(row["other_clock_seconds"]) / float(row["seconds"])
        wanted = factor if row["phase"] == "forward" else 1 / factor
        assert ratio == pytest.approx(wanted, rel=0.01)
    run = make_run([workload("one", 0.1)], ("dense", "gather"), phases=HEADLINE, noise=QUIET)
    rows = csv.DictReader(io.StringIO(to_csv([run])))
    assert {row["other_clock_seconds"] for row in rows} == {""}


@pytest.mark.parametrize(("late", "is_told"), [(0, False), (1, True)])
def test_times_with_gaps_between_launches_are_doubted(late, is_told):
    text = PageParser(render(run_on_a_gpu({"dense": 1.5, "gather": 4.0}, late))).text("verdict")
    said = "in 2 cells the GPU began more than 10 % of the samples before all of a call was queued"
    assert (said in text) == is_told
