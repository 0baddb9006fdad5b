"""The documents' tables of speed say what the run files say."""

from pathlib import Path

import pytest

from bench.phases import Phase
from bench.results.store import write
from reports.words import TIMES
from tests.reports.synthetic_runs import DENSE_SECONDS, Noise, make_run, workload
from tools import published
from tools.speed_tables import AgainstRivals, Column, SpeedUps, filled

QUIET = Noise(rounds=0.003, processes=0.0005)
SECONDS = {"dense": 1.0, "fast": 0.25, "slow": 4.0}
COLUMNS = (
    Column("time", Phase.FORWARD, "dense"),
    Column("fast", Phase.FORWARD, "fast", over="dense"),
    Column("slow", Phase.FORWARD, "slow", over="dense"),
    Column("cold", Phase.FORWARD_COLD, "fast", over="dense"),
)


@pytest.fixture
def measured(tmp_path):
    def add(name: str, seconds: dict[str, float]) -> str:
        run = make_run(
            [workload("one", 0.1), workload("two", 0.2)],
            tuple(seconds),
            times=lambda implementation, _: DENSE_SECONDS * seconds[implementation],
            phases=(Phase.FORWARD,),
            noise=QUIET,
        )
        path = tmp_path / name
        write(run, path)
        return str(path)

    return add


def _entries(row: str) -> list[str]:
    return [entry.strip() for entry in row.split("|")[1:-1]]


def test_every_published_table_agrees_with_its_run_files():
    assert published.main(["--check"]) == 0


def test_every_table_is_in_a_document_once():
    texts = [(published.PROJECT / each).read_text("utf-8") for each in published.DOCUMENTS]
    marks = [f"<!-- table: {name} -->" for name in published.TABLES]
    assert [sum(text.count(mark) for text in texts) for mark in marks] == [1] * len(marks)
    assert sum(text.count("<!-- table: ") for text in texts) == len(marks)


def test_times_and_speed_ups_are_those_that_were_measured(measured):
    table = SpeedUps((measured("run.json", SECONDS),), COLUMNS, [("the first", "one")])
    head, rule, row = table.lines()
    assert head == "| | time | fast | slow | cold |"
    assert rule == "| --- | ---: | ---: | ---: | ---: |"
    title, time, fast, slow, cold = _entries(row)
    assert (title, cold) == ("the first", "")
    assert float(time.removesuffix(" ms")) == pytest.approx(1e3 * DENSE_SECONDS, rel=0.02)
    assert (fast[:5], slow[:6]) == (f"4.0{TIMES} ", f"0.25{TIMES} ")


def test_a_row_of_a_workload_that_no_file_has_is_no_empty_row(measured):
    with pytest.raises(KeyError, match="tow is in none of"):
        list(SpeedUps((measured("run.json", SECONDS),), COLUMNS, [("two", "tow")]).lines())


def test_the_last_file_counts(measured):
    slower = {"dense": 1.0, "fast": 0.5, "slow": 4.0}
    runs = (measured("run.json", SECONDS), measured("later.json", slower))
    *_, row = SpeedUps(runs, COLUMNS[1:2], [("one", "one")]).lines()
    assert row.startswith(f"| one | 2.0{TIMES} (")


def test_rivals_are_counted(measured):
    table = AgainstRivals((measured("run.json", SECONDS),), "fast", ("slow", "dense"))
    *_, row = table.lines()
    phase, mean, ahead, certain, closest = _entries(row)
    assert (phase, ahead, certain) == ("`forward`", "2 of 2", "2")
    assert float(mean) == pytest.approx(4, rel=0.02)
    assert closest.startswith(f"4.0{TIMES} (")


def test_what_stands_between_the_marks_is_replaced(measured):
    table = SpeedUps((measured("run.json", SECONDS),), COLUMNS[1:2], [("one", "one")])
    text = "before\n<!-- table: mine -->\nold\n<!-- end -->\nafter\n"
    once = filled(text, {"mine": table})
    assert "old" not in once
    assert f"| one | 4.0{TIMES} (" in once
    assert once.startswith("before\n<!-- table: mine -->\n")
    assert once.endswith("<!-- end -->\nafter\n")
    assert filled(once, {"mine": table}) == once


def test_a_table_without_an_end_takes_nothing_of_what_follows_it():
    text = "<!-- table: one -->\nprose\n<!-- table: two -->\n<!-- end -->\n"
    with pytest.raises(ValueError, match="without an end: one"):
        filled(text, {})


def test_a_stale_document_is_named_and_written(measured, tmp_path, monkeypatch, capsys):
    table = SpeedUps((measured("run.json", SECONDS),), COLUMNS[1:2], [("one", "one")])
    document = Path(tmp_path / "page.md")
    document.write_text("<!-- table: mine -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(published, "PROJECT", tmp_path)
    monkeypatch.setattr(published, "DOCUMENTS", ("page.md",))
    monkeypatch.setattr(published, "TABLES", {"mine": table})
    assert published.main(["--check"]) == 1
    assert "page.md: differs" in capsys.readouterr().out
    assert "old" in document.read_text()
    assert published.main([]) == 0
    assert published.main(["--check"]) == 0
