"""An archive of runs: what is added stays, what is foreign is named, what stepped is told."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.reports.synthetic_runs import cell, make_run, renamed, workload

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

import fsspec

from bench.cli.main import main
from bench.errors import DataError, UserError
from bench.history.archive import CELLS, Archive
from bench.history.events import breakages, events, recent
from bench.history.series import read
from bench.phases import Phase
from bench.results.schema import Status
from bench.results.store import write
from reports.commit_links import Links
from reports.history.page import render
from tests.reports.nights import FEW, RECORDS, SLOW_FROM, START, commit, fill, nightly, saved


@pytest.fixture
def store(tmp_path):
    return fill(tmp_path / "store", tmp_path / "source")


def test_a_run_is_kept_byte_for_byte_and_added_once(tmp_path):
    path = saved(nightly(0), tmp_path)
    archive = Archive(str(tmp_path / "store"))
    name = archive.add(path)
    assert archive.add(path) == name
    (kept,) = (tmp_path / "store" / "runs").iterdir()
    assert kept.read_bytes() == path.read_bytes()


def test_two_archives_of_the_same_relative_name_are_two(tmp_path, monkeypatch):
    found = []
    for place, record in (("here", RECORDS[0]), ("there", RECORDS[1])):
        copied = tmp_path / place / "history" / "runs"
        copied.mkdir(parents=True)
        write(nightly(0, records=[record]), copied / "copied.json")  # by hand: summarised when read
        monkeypatch.chdir(tmp_path / place)
        found.append({series.key.workload for series in read(Archive("history"), {}).series})
    assert found == [{RECORDS[0].name}, {RECORDS[1].name}]


def test_a_workload_with_brackets_is_found_by_its_name(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    records = [workload("pool[x]", 0.1), workload("poolx", 0.2)]
    archive.add(saved(nightly(0, records=records), tmp_path))
    for pattern, names in [("pool[x]", {"pool[x]", "poolx"}), ("pool*", {"pool[x]", "poolx"})]:
        history = read(archive, {"workload": [pattern]})
        assert {series.key.workload for series in history.series} == names


def test_a_speed_up_is_an_event_and_the_largest_comes_first(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(12):
        factor = 1.0 if number >= SLOW_FROM else 1.5
        archive.add(saved(nightly(number, factor=factor, records=RECORDS), tmp_path))
    (event,) = events(read(archive, {}))
    assert not event.is_slower
    sizes = [change.step.size.estimate for change in event.changes]
    assert len(sizes) == 2
    assert sizes == sorted(sizes)
    assert sizes == pytest.approx([1 / 1.5] * 2, rel=0.02)


def test_a_slowdown_is_an_event_with_its_commits(store):
    history = read(Archive(str(store)), {})
    (event,) = events(history)
    assert event.is_slower
    assert {change.series.key.implementation for change in event.changes} == {"gather"}
    assert len(event.changes) == len(RECORDS)
    assert event.before.commit == commit(SLOW_FROM - 1)
    assert event.after.commit == commit(SLOW_FROM)
    assert all(change.step.size.low < 1.2 < change.step.size.high for change in event.changes)


def test_what_slows_the_whole_machine_is_seen_in_the_baseline_alone(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(12):
        pace = 1.3 if number >= SLOW_FROM else 1.0

        def times(_name, _record, pace=pace):
            return 1e-3 * pace

        run = make_run(
            RECORDS,
            ("dense", "gather"),
            times=times,
            phases=(Phase.FORWARD,),
            noise=FEW,
            seed=number,
        )
        header = replace(
            run.header, id=f"{number:012x}", started=(START + timedelta(number)).isoformat()
        )
        archive.add(saved(replace(run, header=header), tmp_path))
    found = events(read(archive, {}))
    assert {each.series.key.implementation for event in found for each in event.changes} == {
        "dense"
    }


def test_series_are_relative_to_dense_whoever_else_starts_dense(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(4):
        run = nightly(number, names=("dense", "gather"))
        other = replace(run.header.implementations[0], name="another", starts_dense=True)
        implementations = (other, *run.header.implementations) if number > 1 else None
        header = replace(run.header, implementations=implementations or run.header.implementations)
        archive.add(saved(replace(run, header=header), tmp_path))
    history = read(archive, {})
    assert {series.baseline for series in history.series} == {"dense"}
    assert len(history.series) == 2 * len(RECORDS)


def test_libraries_that_changed_there_are_named(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(10):
        run = nightly(number, factor=1.5 if number >= 5 else 1.0)
        libraries = "numpy 2; torch 3" if number >= 5 else "numpy 2; torch 2"
        machine = replace(
            run.header.machine, facts={**run.header.machine.facts, "libraries": libraries}
        )
        archive.add(saved(replace(run, header=replace(run.header, machine=machine)), tmp_path))
    (event,) = events(read(archive, {}))
    assert event.also == ("libraries: torch 2 became torch 3",)


def test_machines_and_workload_versions_are_never_mixed(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(12):
        run = nightly(number, factor=2.0 if number % 2 else 1.0)
        machine = replace(run.header.machine, name=f"machine {number % 2}")
        archive.add(saved(replace(run, header=replace(run.header, machine=machine)), tmp_path))
    history = read(archive, {})
    assert not any(history.steps)
    assert {series.key.machine for series in history.series} == {"machine 0", "machine 1"}
    (place,) = [series for series in history.series if series.title.startswith("layer-a gather")][
        :1
    ]
    assert len(place.points) == 6


def test_a_cell_that_lost_its_time_is_told(store, tmp_path):
    run = nightly(12)
    broken = tuple(
        replace(
            unit,
            cells=tuple(
                cell(unit.workload, each.implementation, each.phase, status=Status.INCORRECT)
                if each.implementation == "gather"
                else each
                for each in unit.cells
            ),
        )
        for unit in run.units
    )
    Archive(str(store)).add(saved(replace(run, units=broken), tmp_path))
    found = breakages(read(Archive(str(store)), {}))
    assert [each.status for each in found] == ["incorrect"] * len(RECORDS)
    assert main(["history", "alerts", "--store", str(store)]) == 4


def test_alerts_say_what_changed_lately_and_exit_by_it(store, capsys):
    assert main(["history", "alerts", "--store", str(store)]) == 1
    told = capsys.readouterr().out
    assert "2 cells became slower recently" in told
    assert "070000000000..080000000000" in told
    assert main(["history", "alerts", "--store", str(store), "--last", "3"]) == 0
    assert "Nothing became slower recently" in capsys.readouterr().out
    assert main(["history", "alerts", "--store", str(store), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["events"]) == 1
    url = "https://example.org/c/{commit}"
    arguments = ["history", "alerts", "--store", str(store), "--markdown", "--commit-url", url]
    assert main(arguments) == 1
    assert f"(https://example.org/c/{commit(SLOW_FROM)})" in capsys.readouterr().out


def test_an_alert_lists_the_most_changed_cells_and_counts_the_others(store, capsys, monkeypatch):
    monkeypatch.setattr("reports.history.sentences.SHOWN", 1)
    assert main(["history", "alerts", "--store", str(store)]) == 1
    text = capsys.readouterr().out
    assert len(re.findall(r"^  .* gather forward .*: ▲ slower by", text, re.MULTILINE)) == 1
    assert text.endswith("\n  1 more\n")


def test_too_few_runs_are_said_to_be_too_few(tmp_path, capsys):
    archive = Archive(str(tmp_path / "store"))
    archive.add(saved(nightly(0), tmp_path))
    assert main(["history", "alerts", "--store", archive.url]) == 3
    assert "Too few runs" in capsys.readouterr().out


def test_series_are_shown_and_filtered(store, capsys):
    assert main(["history", "show", "--store", str(store), "--impl", "gath*"]) == 0
    told = capsys.readouterr().out
    assert "2 series over 12 runs of 1 machine" in told
    assert main(["history", "show", "--store", str(store), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["series"]) == 4
    with pytest.raises(UserError, match=r"no cell .* matches implementation nobody"):
        read(Archive(str(store)), {"implementation": ["nobody"]})


def test_foreign_and_truncated_files_are_skipped_named_and_counted(store, capsys):
    (store / "runs" / "20260101T000000-cut.json").write_bytes(
        next((store / "runs").iterdir()).read_bytes()[:500]
    )
    (store / "runs" / "notes.txt").write_text("hello")
    (store / "runs" / "other.json").write_text('{"format": "other"}')
    assert main(["history", "show", "--store", str(store)]) == 0
    told = capsys.readouterr().out
    assert "left out: 3 files" in told
    assert all(name in told for name in ("20260101T000000-cut.json", "notes.txt", "other.json"))


def test_a_run_that_was_only_copied_in_is_summed_up(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = len(read(Archive(str(store)), {}).runs)
    write(nightly(20), store / "runs" / "copied.json")
    assert len(read(Archive(str(store)), {}).runs) == before + 1
    assert (store / CELLS / "copied.parquet").exists()


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing PAR1", b"PAR"])
def test_a_damaged_summary_is_made_anew(store, damage, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    victim = sorted((store / CELLS).iterdir())[3]
    victim.write_bytes(damage)
    history = read(Archive(str(store)), {})
    assert len(history.runs) == 12
    assert history.skipped == ()


def test_an_archive_may_be_a_bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"memory://{tmp_path.name}"
    for number in range(5):
        Archive(url).add(saved(nightly(number), tmp_path))
    assert len(read(Archive(url), {}).runs) == 5
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 5


def test_in_a_bucket_a_run_without_a_whole_summary_is_summed_up(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = f"/{tmp_path.name}-lacking"
    archive = Archive(f"memory:/{root}")
    for number in range(3):
        archive.add(saved(nightly(number), tmp_path))
    files = fsspec.filesystem("memory")
    missing, damaged, _ = sorted(files.ls(f"{root}/{CELLS}", detail=False))
    files.rm(missing)
    files.pipe_file(damaged, b"PAR")
    history = read(archive, {})
    assert (len(history.runs), history.skipped) == (3, ())


def test_what_another_writer_has_not_finished_is_passed_over(store):
    (store / "runs" / ".20260101T000000-half.json.tmp").write_bytes(b"half")
    assert read(Archive(str(store)), {}).skipped == ()


def test_two_writers_at_once_both_survive(tmp_path):
    paths = [saved(nightly(number), tmp_path) for number in range(8)]
    names = []

    def work(own):
        archive = Archive(str(tmp_path / "store"))
        names.extend(archive.add(path) for path in own)

    writers = [threading.Thread(target=work, args=(own,)) for own in (paths[:5], paths[3:])]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(names) == 10
    history = read(Archive(str(tmp_path / "store")), {})
    assert len(history.runs) == 8
    assert not history.skipped


def test_what_is_no_finished_run_is_not_added(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    (tmp_path / "cut.json").write_text('{"format": "sparsebench-run", "sche')
    with pytest.raises(DataError, match="truncated"):
        archive.add(tmp_path / "cut.json")
    with pytest.raises(DataError, match="unfinished run"):
        archive.add(tmp_path / "cut.json.partial")


def test_an_archive_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="history add"):
        read(Archive(str(tmp_path / "nothing")), {})
    with pytest.raises(UserError, match="nonsense"):
        Archive("nonsense://bucket/path")


def test_a_missing_library_is_one_line_with_its_cure(store):
    code = (
        "import sys; sys.modules['duckdb'] = None\n"
        "from bench.cli.main import main\n"
        f"sys.exit(main(['history', 'show', '--store', {str(store)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install -e '.[history]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_marks_the_step_and_is_the_same_every_time(store, tmp_path, capsys):
    history = read(Archive(str(store)), {})
    links = Links({"": "https://example.org/c/{commit}"})
    page = render(history, links)
    assert page == render(history, links)
    assert page.count('<svg class="spark"') == 4
    assert len(re.findall(r'<path class="slower" d="M\d+ 0V40"/>', page)) == 2
    assert f'href="https://example.org/c/{commit(SLOW_FROM)}"' in page
    target = tmp_path / "page.html"
    assert main(["history", "show", "--store", str(store), "-o", str(target)]) == 0
    assert main(["history", "show", "--store", str(store), "-o", str(target)]) == 0
    (tmp_path / "mine.html").write_text("mine")
    assert main(["history", "show", "--store", str(store), "-o", str(tmp_path / "mine.html")]) == 2
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_hostile_names_are_text_on_the_page(tmp_path):
    hostile = "<script>alert(1)</script>\"'"
    archive = Archive(str(tmp_path / "store"))
    archive.add(saved(renamed(nightly(0), "gather", hostile), tmp_path))
    page = render(read(archive, {}))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_last_runs_are_counted_by_machine(store):
    history = read(Archive(str(store)), {})
    assert recent(history, 2) == {run.name for run in history.runs[-2:]}


def test_files_that_cannot_be_read_are_refused_in_a_line(tmp_path, monkeypatch):
    path = saved(nightly(0), tmp_path)
    archive = Archive(str(tmp_path / "store"))

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", forbidden)
    with pytest.raises(DataError, match=f"cannot read {path}: Permission denied"):
        archive.add(path)


def test_an_archive_whose_name_is_no_utf8_is_refused_in_a_line(capsys):
    assert main(["history", "show", "--store", "st\udce9"]) == 2
    assert r"the archive 'st\udce9' is not named in UTF-8" in capsys.readouterr().err


def test_where_no_summary_can_be_kept_the_reason_is_told(store, monkeypatch):
    for path in (store / "cells").rglob("*.parquet"):
        path.unlink()

    def forbidden(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("bench.history.archive.write_once", forbidden)
    with pytest.raises(UserError, match=r"nothing in the archive .* Read-only file system"):
        read(Archive(str(store)), {})
