"""Where a single operator's time goes: computed from what cells carry."""

from dataclasses import replace
from statistics import median

import pytest

from bench.phases import Phase
from reports.page import render
from reports.parts import names_of, parts, summarise
from reports.speed import compare
from reports.words import percent
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import make_run, workload

PHASES = (Phase.ENCODE, Phase.MAP, Phase.FORWARD)
WARM_PARTS = {"gather": 2e5, "scatter": 1e5, "rest": 7e5}


def run_with_parts(of):
    """A run of two workloads, a millisecond everywhere, whose warm calls are made of these parts."""
    run = make_run(
        [workload("first", 0.1), workload("second", 0.2)],
        ("dense", "gather"),
        times=lambda _name, _record: 1e-3,
        phases=PHASES,
    )
    units = tuple(
        replace(
            unit,
            cells=tuple(
                replace(cell, parts=of(cell)) if cell.phase is Phase.FORWARD else cell
                for cell in unit.cells
            ),
        )
        for unit in run.units
    )
    return replace(run, units=units)


def usual(cell):
    return WARM_PARTS if cell.implementation == "gather" else {}


def test_a_cold_call_is_encoding_the_map_and_the_parts_of_a_warm_one():
    comparison = compare(run_with_parts(usual))
    first, second = parts(comparison, comparison.settings[0])
    assert (first.workload, second.workload, first.implementation) == ("first", "second", "gather")
    assert list(first.seconds) == ["encode", "map", "gather", "scatter", "rest"]
    warm = 1e-3
    assert first.seconds["encode"] > 0 < first.seconds["map"]
    assert first.total == pytest.approx(first.seconds["encode"] + first.seconds["map"] + warm)
    assert first.share("rest") == pytest.approx(0.7 * warm / first.total)
    assert first.share("elsewhere") is None


def test_the_summary_has_medians_of_shares_with_the_rest_last():
    comparison = compare(run_with_parts(usual))
    rows = parts(comparison, comparison.settings[0])
    (summary,) = summarise(rows)
    assert names_of(rows)[-1] == "rest"
    assert (summary.implementation, summary.workloads) == ("gather", 2)
    assert summary.shares["gather"] == median([row.share("gather") for row in rows])


def test_without_parts_there_is_no_table():
    page = PageParser(render(run_with_parts(lambda _: {})))
    assert "Where a call's time goes" not in page.sections["efficiency"]


def test_the_page_shows_the_shares():
    run = run_with_parts(usual)
    page = PageParser(render(run))
    assert "Where a call's time goes" in page.sections["efficiency"]
    table = page.table("shares of encoding, kernel map and the parts of a warm call")
    assert table.rows[0][2:] == ["encode", "map", "gather", "scatter", "rest"]
    comparison = compare(run)
    (summary,) = summarise(parts(comparison, comparison.settings[0]))
    shares = [percent(summary.shares[part]) for part in table.rows[0][2:]]
    assert table.rows[1] == ["gather", "2", *shares]
