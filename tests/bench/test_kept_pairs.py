"""What `ab -o` keeps is judged as `ab` judged it, wherever it is read."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.errors import UserError
from bench.results.schema import Status
from bench.results.store import load, merge, write
from bench.second_measurement import compare_measured, together
from bench.statistics.verdicts import Verdict
from tests.reports.compared_runs import (
    NAMES,
    changed,
    ended,
    lock_step,
    made,
    noisy_lock_step,
)


def as_pair(changes, pair="0123456789ab"):
    """The same comparison, of runs with headers as `ab` makes them."""
    base, head = (
        replace(run, header=replace(run.header, pair=pair, id=side))
        for run, side in ((changes.base, "base"), (changes.head, "head"))
    )
    return compare_runs(base, head, paired=True)


def judged(changes):
    return changes.cells, changes.families, changes.in_lock_step, changes.exit_code


FIRST, SECOND = as_pair(lock_step(1.05, 1)), as_pair(lock_step(1.05, 11))
NOISY = as_pair(noisy_lock_step(1.02, 1))
IN_PART = compare_runs(
    *(replace(run, units=run.units[:1]) for run in (SECOND.base, SECOND.head)), paired=True
)
FAILING = compare_runs(SECOND.base, changed(SECOND.head, ended(Status.INCORRECT)), paired=True)


def without_memory(run):
    for name in NAMES:
        run = changed(run, ended(Status.OUT_OF_MEMORY), name)
    return run


WITHOUT_MEMORY = compare_runs(*map(without_memory, (SECOND.base, SECOND.head)), paired=True)


@pytest.mark.parametrize(
    "changes",
    [
        as_pair(lock_step(1.0, 1)),
        together(FIRST, SECOND),
        together(FIRST, as_pair(lock_step(1.0, 11))),
        together(NOISY, as_pair(noisy_lock_step(1.0, 21))),
        together(FIRST, IN_PART),
        together(FIRST, FAILING),
        together(FIRST, WITHOUT_MEMORY),
    ],
    ids=["once", "confirmed", "gone", "a family gone", "in part", "failing", "without memory"],
)
def test_a_pair_that_was_kept_is_judged_as_when_it_was_measured(changes, tmp_path):
    for run, name in ((changes.base, "base.json"), (changes.head, "head.json")):
        write(run, tmp_path / name)
    kept = compare_measured(load(tmp_path / "base.json"), load(tmp_path / "head.json"))
    assert judged(kept) == judged(changes)


def test_a_slowdown_must_show_in_the_second_measurement_that_was_kept():
    in_part = together(FIRST, IN_PART)
    by_all = compare_runs(in_part.base, in_part.head, paired=True)
    kept = compare_measured(in_part.base, in_part.head)
    slower = [{cell.workload for cell in changes.of(Verdict.SLOWER)} for changes in (by_all, kept)]
    assert [len(workloads) for workloads in slower] == [3, 1]


def test_what_is_no_pair_is_compared_as_runs_of_two_times():
    base, head = FIRST.base, FIRST.head
    others = as_pair(lock_step(1.05, 1), "ba9876543210")
    for one, other in ((base, others.head), (base, made()), (made(), made()), (head, head)):
        assert compare_measured(one, other) == compare_runs(one, other)
    assert compare_measured(head, base).in_lock_step


def test_merged_runs_are_no_pair_any_more():
    alone, merged = merge([FIRST.base]), merge([FIRST.base, made(seed=3)])
    assert compare_measured(alone, FIRST.head).in_lock_step
    assert not compare_measured(merged, FIRST.head).in_lock_step


def test_both_measurements_time_is_kept():
    (unit, *_), (first, *_) = together(FIRST, SECOND).base.units, FIRST.base.units
    assert unit.seconds == {what: 2 * seconds for what, seconds in first.seconds.items()}


@pytest.fixture
def measured(monkeypatch):
    """Have `ab` measure nothing, and find what both measurements would have found."""
    found = together(FIRST, SECOND)
    monkeypatch.setattr("bench.revisions.checked_out", lambda *_, **__: nullcontext())
    monkeypatch.setattr("bench.ab.compare_revisions", lambda *_: found)
    return found


def test_ab_keeps_two_run_files_that_compare_and_report_read(measured, tmp_path, capsys):
    folder = tmp_path / "new" / "kept"
    assert main(["ab", "HEAD", "--json", "-o", str(folder)]) == measured.exit_code == 1
    printed = json.loads(capsys.readouterr().out)
    files = [str(folder / "base.json"), str(folder / "head.json")]
    assert [load(folder / name) for name in ("base.json", "head.json")] == [
        measured.base,
        measured.head,
    ]
    assert main(["compare", *files, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == printed
    assert printed["in_lock_step"]
    assert main(["compare", *files]) == 1
    assert "were measured in turn, visit by visit" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["report", "--compare", *files, "-o", str(page)]) == 0
    assert "were measured in turn, visit by visit" in page.read_text()
    assert main(["report", files[0], "-o", str(tmp_path / "base.html")]) == 0


@pytest.mark.parametrize("name", ["base.json", "head.json", "head.json.partial"])
def test_what_is_there_is_not_written_over(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.ab.compare_revisions", lambda *_: pytest.fail("it measured"))
    (tmp_path / name).write_text("precious")
    assert main(["ab", "HEAD", "-o", str(tmp_path)]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_place_that_takes_no_files_is_refused_before_measuring(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.ab.compare_revisions", lambda *_: pytest.fail("it measured"))
    file = tmp_path / "file"
    file.touch()
    assert main(["ab", "HEAD", "-o", str(file)]) == 2
    assert f"cannot make {file}" in capsys.readouterr().err
    monkeypatch.setattr("os.access", lambda *_: False)
    assert main(["ab", "HEAD", "-o", str(tmp_path)]) == 2
    assert f"cannot write in {tmp_path}" in capsys.readouterr().err


def test_what_was_found_is_told_where_the_disk_is_full(measured, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise UserError("cannot write: no space left")

    monkeypatch.setattr("bench.results.store.write", full)
    assert main(["ab", "HEAD", "-o", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert "Slower" in told.out
    assert "no space left" in told.err
