"""History on a report's page: steps of its own cells on its own machine, and nothing else."""

import re
import shutil
from dataclasses import replace

import pytest

from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import cell, renamed, workload

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

from bench.cli.main import main
from bench.errors import UserError
from bench.history.archive import Archive
from bench.phases import Phase
from bench.results.schema import Status
from reports.history.section import section
from reports.page import render
from reports.words import DASH
from tests.reports.nights import RECORDS, SLOW_FROM, commit, fill, nightly, saved

LAST = 11


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    return fill(folder / "store", folder / "source")


@pytest.fixture
def store(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "store")


def shown(run, store):
    return PageParser(render(run, history=section([run], Archive(str(store)))))


def test_a_step_is_told_with_its_size_interval_commits_and_line(store):
    run = nightly(LAST, factor=1.2)
    page = shown(run, store)
    assert list(page.sections).index("history") < list(page.sections).index("not-measured")
    text = page.text("history")
    assert "2 lasting slowdowns, 0 speed-ups" in text
    assert "2 cells slower since 2026-01-09 00:00" in text
    table = page.table("have a lasting change")
    assert len(table.rows) == 1 + len(RECORDS)
    for row in table.rows[1:]:
        assert row[0].startswith("gather forward")
        found = re.search(rf"slower by (\d+).%.\((\d+){DASH}(\d+).%\)", row[3])
        assert int(found[2]) <= 20 <= int(found[3])
        assert f"{commit(SLOW_FROM - 1)[:12]}..{commit(SLOW_FROM)[:12]}" in row[3]
    assert run.header.machine.name not in text
    assert "not listed here" not in text
    raw = str(section([run], Archive(str(store))))
    assert raw.count('<svg class="spark"') == len(RECORDS)
    assert "href" not in raw


def test_events_that_are_not_listed_are_counted(store, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.history.section.MOST_EVENTS", 1)
    for number in range(LAST + 1, LAST + 7):
        Archive(str(store)).add(saved(nightly(number), tmp_path))
    text = shown(nightly(LAST + 6), store).text("history")
    assert "2 cells faster since 2026-01-13 00:00" in text
    assert "2 cells slower since" not in text
    assert "1 earlier change not listed here" in text


def test_of_more_cells_than_are_shown_the_most_changed_are(store, monkeypatch):
    run = nightly(LAST, factor=1.2)
    page = shown(run, store)
    assert "2 cells of 4 have a lasting change: here are all of them." in page.text("history")
    most = max(
        page.table("have a lasting change").rows[1:],
        key=lambda row: float(re.search(r"slower by ([\d.]+)", row[3])[1]),
    )
    monkeypatch.setattr("reports.history.sentences.SHOWN", 1)
    page = shown(run, store)
    assert (
        "2 cells of 4 have a lasting change: here are those that each of these changes hit hardest."
    ) in page.text("history")
    assert page.table("have a lasting change").rows[1:] == [most]


def test_each_change_has_its_share_of_the_cells_shown(tmp_path, monkeypatch):
    records = [workload(f"layer-{letter}", 0.1) for letter in "abc"]
    archive = Archive(str(tmp_path / "store"))
    for number in range(LAST + 7):
        first, second = number >= SLOW_FROM, number > LAST
        factors = (1.3 if second else 1.0, 1.4 if first else 1.0, 1.2 if first else 1.0)
        nights = [nightly(number, factor=factor, records=records) for factor in factors]
        units = tuple(night.units[place] for place, night in enumerate(nights))
        archive.add(saved(replace(nights[0], units=units), tmp_path))
    run = nightly(LAST + 6, records=records)
    monkeypatch.setattr("reports.history.sentences.SHOWN", 2)
    page = PageParser(str(section([run], archive)))
    rows = page.table("3 cells of 6 have a lasting change").rows[1:]
    assert [re.search("layer-.", row[0])[0] for row in rows] == ["layer-a", "layer-b"]


def test_only_cells_of_the_page_are_judged(store):
    run = nightly(LAST)
    without = replace(run, units=tuple(replace(unit, cells=unit.cells[:1]) for unit in run.units))
    assert {each.implementation for each in without.cells} == {"dense"}
    text = shown(without, store).text("history")
    assert "2 series over 12 runs of 1 machine: no lasting change" in text


def test_runs_of_another_machine_are_left_out(store, tmp_path):
    run = nightly(LAST)
    other = replace(
        run,
        header=replace(
            run.header, id="f" * 12, machine=replace(run.header.machine, name="another machine")
        ),
    )
    text = shown(other, store).text("history")
    assert "no run of these cells on this machine" in text
    Archive(str(store)).add(saved(other, tmp_path))
    assert "4 series over 1 run of 1 machine: too few" in shown(other, store).text("history")
    assert "over 12 runs of 1 machine" in shown(run, store).text("history")


def test_of_two_machines_each_has_a_table_of_its_own(store, tmp_path):
    for number in range(12):
        run = nightly(number, factor=2.0 if number >= SLOW_FROM else 1.0)
        machine = replace(run.header.machine, name="another machine")
        run = replace(run, header=replace(run.header, id=f"{number + 50:012x}", machine=machine))
        Archive(str(store)).add(saved(run, tmp_path))
    both = [nightly(LAST, factor=1.2), run]
    page = PageParser(str(section(both, Archive(str(store)))))
    assert [len(table.rows) for table in page.tables] == [1 + len(RECORDS)] * 2
    assert {table.caption.split(":")[0].strip() for table in page.tables} == {
        "another machine",
        both[0].header.machine.name,
    }
    assert "8 series over 24 runs of 2 machines" in page.text("history")
    assert "not in the archive" not in page.text("history")


def test_what_the_archive_lacks_is_said(store):
    assert "not in the archive" not in shown(nightly(LAST, factor=1.2), store).text("history")
    new = renamed(nightly(20), "dense", "brand new")
    text = shown(new, store).text("history")
    assert "What this page shows is not in the archive." in text
    assert "2 cells of this page are not in it." in text


def test_of_several_runs_it_is_said_how_many_the_archive_lacks(store):
    both = [nightly(LAST, factor=1.2), nightly(20)]
    text = PageParser(str(section(both, Archive(str(store))))).text("history")
    assert "1 run of this page is not in the archive." in text
    assert "What this page shows is not in the archive." not in text


def test_a_cell_that_lost_its_time_is_told(store, tmp_path):
    run = nightly(LAST + 1)
    units = tuple(
        replace(
            unit,
            cells=(
                unit.cells[0],
                cell(unit.workload, "gather", Phase.FORWARD, status=Status.INCORRECT),
            ),
        )
        for unit in run.units
    )
    broken = replace(run, units=units)
    Archive(str(store)).add(saved(broken, tmp_path))
    assert "2 cells without a time now" in shown(broken, store).text("history")


def test_hostile_names_are_text(store, tmp_path):
    hostile = "<script>alert(1)</script>\"'"
    for number in range(12):
        run = renamed(nightly(number, factor=1 + number // 6), "gather", hostile)
        header = replace(run.header, id=f"{number + 100:012x}", commit="<b>" * 20)
        run = replace(run, header=header)
        Archive(str(store)).add(saved(run, tmp_path))
    text = str(section([run], Archive(str(store))))
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "<b>" not in text


def test_the_command_puts_history_into_the_page_and_asks_for_it_only_there(store, tmp_path, capsys):
    path = saved(nightly(LAST, factor=1.2), tmp_path)
    target = tmp_path / "page.html"
    asked = ["report", str(path), "-o", str(target)]
    assert main(asked) == 0
    assert 'id="history"' not in target.read_text("utf-8")
    assert main([*asked, "--history", str(store)]) == 0
    first = target.read_text("utf-8")
    assert 'id="history"' in first
    assert main([*asked, "--history", str(store)]) == 0
    assert target.read_text("utf-8") == first
    assert main(["report", str(path), "--csv", "--history", str(store)]) == 2
    assert "leave out --csv" in capsys.readouterr().err
    assert main([*asked, "--history", str(tmp_path / "nothing")]) == 2
    assert "is empty" in capsys.readouterr().err


def test_an_empty_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match="history add"):
        section([nightly(0)], Archive(str(tmp_path / "nothing")))


def test_what_was_followed_relative_to_nothing_is_another_series(store, tmp_path):
    archive = Archive(str(store))
    for number in range(LAST + 1, LAST + 5):
        archive.add(saved(nightly(number, names=("gather",)), tmp_path))
    run = nightly(LAST, factor=1.2)
    page = shown(run, store)
    assert len(page.table("have a lasting change").rows) == 1 + len(RECORDS)
    assert "never stood in it" not in page.text("history")
