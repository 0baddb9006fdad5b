"""A ratio that stepped because the baseline did is told as the baseline's, not as the cell's."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import workload

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

from bench.cli.main import main
from bench.history.archive import Archive
from bench.history.events import events, news
from bench.history.series import read
from bench.history.steps import attributed, find_steps
from reports.history.page import render
from reports.history.section import section
from tests.reports.nights import nightly, saved

NIGHTS = 12
CHANGED = 7
RECORDS = [workload(f"layer-{number}", 0.1 * number) for number in range(1, 4)]


@pytest.fixture
def archived(tmp_path):
    """Make an archive in which dense and gather change by factors in one night."""

    def make(*, dense=1.0, gather=1.0, paces=(1.0,) * NIGHTS):
        archive = Archive(str(tmp_path / "store"))
        for number, pace in enumerate(paces):
            others, factor = (dense, gather) if number >= CHANGED else (1.0, 1.0)
            run = nightly(number, factor=pace * factor, others=pace * others, records=RECORDS)
            archive.add(saved(run, tmp_path))
        return archive

    return make


def alerts(archive, capsys, *more):
    """Exit code and what is printed."""
    code = main(["history", "alerts", "--store", archive.url, *more])
    return code, capsys.readouterr().out


def test_that_only_the_baseline_became_faster_is_one_event_and_no_slowdown(archived, capsys):
    archive = archived(dense=0.8)
    (event,) = events(read(archive, {}))
    assert not event.is_slower
    assert [each.series.key.implementation for each in event.changes] == ["dense"] * 3 + [
        "gather"
    ] * 3
    assert event.changes == event.own + event.of_baseline
    told = "dense became faster since 2026-01-08 00:00"
    for form in ((), ("--markdown",)):
        code, printed = alerts(archive, capsys, *form)
        assert code == 0
        assert "Nothing became slower recently." in printed.splitlines()[0]
        assert told in printed
        assert "the ratios of 3 cells to it rose, up to 25" in printed
        assert "layer-1 gather forward float32 on cpu" in printed
        assert "the baseline changed: ratio up by 25" in printed
        assert "slower by" not in printed
    code, printed = alerts(archive, capsys, "--json")
    assert code == 0
    (event,) = json.loads(printed)["events"]
    assert not event["is_slower"]
    assert [each["step"]["of_baseline"] for each in event["changes"]] == [False] * 3 + [True] * 3


def test_it_is_told_where_the_baseline_itself_is_not_asked_for(archived, capsys):
    code, printed = alerts(archived(dense=0.8), capsys, "--impl", "gather")
    assert code == 0
    assert "dense became faster since" in printed
    assert "the ratios of 3 cells to it rose, up to 25" in printed
    assert "cells faster" not in printed


def test_that_only_the_baseline_became_slower_makes_nothing_else_faster(archived, capsys):
    archive = archived(dense=1.25)
    code, printed = alerts(archive, capsys)
    assert code == 1
    assert printed.startswith("3 cells became slower recently: investigate.")
    assert "dense became slower since 2026-01-08 00:00" in printed
    assert "the ratios of 3 cells to it fell, up to 20" in printed
    assert "faster" not in printed
    for form in ((), ("--markdown",)):
        code, printed = alerts(archive, capsys, "--impl", "gather", *form)
        assert code == 0
        assert "Nothing but dense became slower recently." in printed.splitlines()[0]
        assert "dense became slower since 2026-01-08 00:00" in printed


@pytest.mark.parametrize("gather", [1.05, 1.2])
def test_a_slowdown_at_the_same_time_is_told(gather, archived, capsys):
    archive = archived(dense=0.8, gather=gather)
    code, printed = alerts(archive, capsys)
    assert code == 1
    assert printed.startswith("3 cells became slower recently: investigate.")
    assert "3 cells faster since" in printed
    assert "ratios" not in printed
    assert "layer-1 gather forward float32 on cpu: ▲ slower by" in printed


@pytest.mark.parametrize("gather", [1.015, 0.97])
def test_a_cell_that_changed_far_less_than_its_ratio_is_not_told(gather, archived, capsys):
    code, printed = alerts(archived(dense=0.8, gather=gather), capsys)
    assert code == 0
    assert "the ratios of 3 cells to it rose" in printed


def test_what_changes_the_whole_machine_leaves_ratios_alone(archived, capsys):
    code, printed = alerts(archived(dense=0.8, gather=0.8), capsys)
    assert code == 0
    assert "ratios" not in printed


def test_a_slowdown_while_the_whole_machine_becomes_faster_is_told(archived, capsys):
    code, printed = alerts(archived(dense=0.8, gather=0.8 * 1.1), capsys)
    assert code == 1
    assert printed.startswith("3 cells became slower recently: investigate.")
    assert "ratios" not in printed


@pytest.mark.parametrize(("gather", "exit_code"), [(1.0, 0), (1.2, 1)])
def test_where_nights_differ_a_slowdown_at_the_same_time_is_told_too(
    gather, exit_code, archived, capsys
):
    paces = np.exp(np.random.default_rng(111).normal(0, 0.05, NIGHTS))
    assert alerts(archived(dense=0.8, gather=gather, paces=paces), capsys)[0] == exit_code


def test_where_nights_differ_a_slower_baseline_makes_nothing_else_faster(archived, capsys):
    paces = np.exp(np.random.default_rng(111).normal(0, 0.03, NIGHTS))
    _, printed = alerts(archived(dense=1.25, paces=paces), capsys)
    assert "the ratios of 3 cells to it fell" in printed
    assert "faster" not in printed


def test_machines_whose_nights_differ_hide_no_slowdown(archived, capsys):
    paces = np.exp(np.random.default_rng(1).normal(0, 0.05, NIGHTS))
    assert alerts(archived(gather=1.05, paces=paces), capsys)[0] == 1


def test_what_the_baseline_did_is_told_once(archived, tmp_path, capsys):
    archive = archived(dense=0.8)
    last = max(tmp_path.glob("*.json"))
    code, printed = alerts(archive, capsys, "--new", str(last))
    assert code == 0
    assert "dense" not in printed


def test_a_slowdown_that_was_taken_for_the_baselines_is_news(archived):
    history = read(archived(dense=0.8, gather=1.2), {})
    steps = tuple(
        tuple(replace(step, of_baseline=series.is_relative) for step in each)
        for series, each in zip(history.series, history.steps, strict=True)
    )
    found = events(history)
    assert news(history, found) == []
    (event,) = news(replace(history, steps=steps), found)
    assert event.is_slower


def test_pages_show_the_step_as_the_baselines(archived):
    archive = archived(dense=0.8)
    run = nightly(NIGHTS - 1, others=0.8, records=RECORDS)
    for raw in (render(read(archive, {})), str(section([run], archive))):
        assert "dense became faster since 2026-01-08 00:00" in raw
        assert "0 lasting slowdowns, 3 speed-ups" in raw
        assert raw.count('<path class="baseline"') == 3
        assert 'class="slower"' not in raw
        table = next(each for each in PageParser(raw).tables if each.rows[0][0] == "cell")
        steps = [row[3] for row in table.rows if row[0].startswith("gather")]
        assert len(steps) == 3
        assert all("the baseline changed: ratio up by" in step for step in steps)


def test_a_baseline_that_steps_elsewhere_explains_nothing():
    baseline = [1.0] * 4 + [0.8] * 8
    ratios = [1.0] * 8 + [1.25] * 4
    (step,) = attributed(find_steps(ratios), baseline)
    assert step.at == 8
    assert not step.of_baseline
