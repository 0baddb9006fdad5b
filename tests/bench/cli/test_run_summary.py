"""What `sparsebench run` prints at its end."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import FAILED, OK, run, unit

from bench.cli.summary import print_summary
from bench.phases import Phase
from bench.results.schema import OTHERS, Samples, Timing
from bench.statistics.intervals import seconds_per_call
from reports.speed import compare
from reports.verdicts import doubts_of_times

ROUNDS = tuple((duration,) for duration in (1000, 1020, 1040, 1010, 1030))


def printed(cells, capsys):
    measured = run(replace(unit(), cells=tuple(cells)))
    print_summary(measured, Path("runs/made.json"), as_json=False, page_follows=False)
    return capsys.readouterr().out


def timed(rounds):
    return replace(OK, timing=Timing("perf_counter_ns", (Samples(0, 1, rounds),)))


def test_times_have_their_interval_and_failures_their_reason(capsys):
    cell = timed(ROUNDS)
    told, seconds = printed([cell, FAILED], capsys), seconds_per_call(cell.timing)
    assert "forward, float32: median in milliseconds, ± half of its 99 % interval" in told
    ((shown, percent),) = re.findall(r"w0 +(\S+) ±(\S+)% +error", told)
    assert float(shown) == pytest.approx(seconds.estimate * 1e3, rel=0.005)
    share = 1 + float(percent) / 100
    assert share == pytest.approx((seconds.high / seconds.low) ** 0.5, abs=0.0006)
    assert "2 cells: 1 ok, 1 error\ngather: error in 1 cell: boom\n" in told


def test_of_a_time_that_nobody_knows_no_percentage_is_made_up(capsys):
    told = printed([timed(((1000,), (9000,), (100,)))], capsys)
    assert re.search(r"w0 +0\.\d+ ±>100% *\n", told)


def test_a_single_round_has_no_interval(capsys):
    cell = timed(ROUNDS[:1])
    assert not seconds_per_call(cell.timing).is_known
    assert re.search(r"w0 +0\.001 *\n", printed([cell], capsys))


def test_of_many_phases_the_main_ones_are_shown_of_few_all(capsys):
    def phases_in(*measured):
        told = printed([replace(OK, phase=phase) for phase in measured], capsys)
        return re.findall(r"^(\w+), float32: ", told, re.MULTILINE)

    assert phases_in(*Phase) == ["forward", "forward_cold", "train_step"]
    assert phases_in(Phase.MAP, Phase.FORWARD) == ["map", "forward"]
    assert phases_in(Phase.ENCODE, Phase.MAP, Phase.BACKWARD, Phase.DECODE) == [
        *("encode", "map", "backward", "decode"),
    ]


def test_which_implementation_to_use_is_said_where_there_are_two(capsys):
    cell = timed(ROUNDS)
    slow = replace(timed(tuple((3 * each,) for (each,) in ROUNDS)), implementation="slow")
    told = printed([cell, slow], capsys)
    assert "which to use, float32 on cpu. Whoever is named is fastest, or within 5" in told
    assert re.search(rf"w0 +{cell.implementation} *\n", told)
    assert "which to use" not in printed([cell], capsys)


def test_what_to_use_is_said_to_programs_too(capsys):
    cell = timed(ROUNDS)
    slow = replace(timed(tuple((3 * each,) for (each,) in ROUNDS)), implementation="slow")
    measured = run(replace(unit(), cells=(cell, slow)))
    print_summary(measured, Path("run.json"), as_json=True, page_follows=False)
    (row,) = json.loads(capsys.readouterr().out)["recommendations"]
    assert row["setting"] == "float32 on cpu"
    assert row["forward"] == cell.implementation


def test_the_page_s_doubts_follow_the_tables(capsys):
    alone = replace(unit(), cells=(timed(ROUNDS),))
    told = ["busy", "8 threads on 2 processors: they wait for each other"]
    crowded = run(replace(alone, seconds={"wall": 10.0, OTHERS: 20.0}), planned=("w0",))
    machine = replace(crowded.header.machine, doubts=tuple(told))
    measured = replace(crowded, header=replace(crowded.header, machine=machine))
    print_summary(measured, Path("run.json"), as_json=False, page_follows=True)
    table, *shown = capsys.readouterr().out.split("\ndoubt: ")
    assert "1 cell: 1 ok" in table
    assert shown[:2] == told
    assert "other programs used 2.0 processors" in " ".join(shown[2:])
    *doubts_shown, last = "\n".join(shown).splitlines()
    assert doubts_shown == doubts_of_times(measured, compare(measured))
    assert last == "written: run.json"
