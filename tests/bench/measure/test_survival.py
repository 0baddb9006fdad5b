"""Runs that are interrupted, killed, split, or slowed by who fails everything."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.measure.engine import PATIENCE, Engine, execute
from bench.measure.plan import Plan
from bench.phases import Phase
from bench.plugins.implementations import choose
from bench.plugins.installed import Reference
from bench.plugins.suites import load_suite
from bench.results.schema import Settings, Status
from bench.results.store import Journal, load

pytestmark = pytest.mark.slow
PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PATTERN = "2d-submanifold*,3d-submanifold*"
PATTERN_2D = "2d-submanifold*"
NAMES = [workload.name for workload in load_suite("quick").workloads()[:8]]
RUN = [
    *(sys.executable, "-m", "bench", "run", "quick", "--impl", "gather", "--phase", "forward"),
    *("--workload", PATTERN, "--seconds", "0.02", "--processes", "1", "--wait"),
]


def start(*more):
    return subprocess.Popen([*RUN, *more], stderr=subprocess.PIPE, text=True)


def finished(journal):
    """Names of the workloads that the journal holds; it can be read at any moment."""
    if not journal.path.exists() or not journal.path.read_bytes().count(b"\n"):
        return []
    return [unit.workload.name for unit in journal.read().units]


def wait_for(journal, count, process):
    end = time.monotonic() + 600  # to import torch takes a busy machine a minute
    while len(finished(journal)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_killed_again_and_again_loses_no_workload_and_ends_whole(tmp_path):
    journal = Journal(tmp_path / "run.json")
    chance = random.Random(3)  # noqa: S311
    kept = []
    for _ in range(3):
        arguments = ["--resume", str(journal.path)] if journal.path.exists() else []
        process = start(*(arguments or ["-o", str(journal.target)]))
        wait_for(journal, len(kept) + chance.randint(0, 1), process)
        time.sleep(chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if journal.target.exists():
            break
        now = finished(journal)
        assert now[: len(kept)] == kept
        kept = now
    if not journal.target.exists():
        process = start("--resume", str(journal.path))
        assert process.wait() == 0, process.communicate()[1]
        process.communicate()
    assert [unit.workload.name for unit in load(journal.target).units] == NAMES
    assert not journal.path.exists()


def test_one_interruption_finishes_the_workload_and_two_stop_at_once(tmp_path):
    journal = Journal(tmp_path / "run.json")
    process = start("-o", str(journal.target))
    wait_for(journal, 1, process)
    process.send_signal(signal.SIGINT)
    told = process.communicate()[1]
    assert process.returncode == 130
    assert "finishing this workload" in told
    assert f"--resume {journal.path}" in told
    first = finished(journal)
    assert 1 <= len(first) < len(NAMES)
    process = start("--resume", str(journal.path), "--seconds", "0.02")
    wait_for(journal, len(first) + 1, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert not journal.target.exists()


def test_workers_do_not_hear_a_terminals_interruption(tmp_path):
    """A terminal sends Ctrl-C to its whole process group; the run must outlive it for one workload."""
    journal = Journal(tmp_path / "run.json")
    process = subprocess.Popen(
        [*RUN, "-o", str(journal.target)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(journal, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert {cell.status for cell in journal.read().cells} == {Status.OK}


def test_a_run_that_was_killed_just_before_its_journal_went_is_complete(tmp_path, capsys):
    target = tmp_path / "run.json"
    command = ["run", "quick", "--impl", "gather", "--phase", "forward", "--workload", NAMES[0]]
    command += ["--seconds", "0.02", "--processes", "1"]
    assert main([*command, "-o", str(target)]) == 0
    whole = load(target)
    journal = Journal(tmp_path / "other.json")
    journal.begin(whole.header)
    journal.add(whole.units[0])
    journal.path.rename(tmp_path / "run.json.partial")
    capsys.readouterr()
    for _ in range(2):
        assert main([*command, "--resume", f"{target}.partial"]) == 0
        told = capsys.readouterr()
        assert f"{target} is complete" in told.err
        assert NAMES[0] in told.out
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    elsewhere = ["--resume", f"{target}.partial", "-o", str(tmp_path / "other.json")]
    assert main([*command, *elsewhere]) == 2
    assert f"goes on with {target}: leave out -o, or name that" in capsys.readouterr().err
    for other in ("layers", "somewhere/quick.py"):
        assert main(["run", other, "--resume", f"{target}.partial"]) == 2
        told = capsys.readouterr().err
        assert f"{target} is a run of quick, not of {other.removeprefix('somewhere/')}" in told


def test_a_full_disk_ends_a_run_with_one_line_and_it_goes_on_where_there_is_room(tmp_path):
    journal = Journal(tmp_path / "run.json")

    def fill_up():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    command = [*RUN, "-o", str(journal.target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=fill_up)
    assert done.returncode == 2
    told = f"sparsebench: error: cannot write {journal.path}: File too large"
    assert done.stderr.strip() == told
    kept = finished(journal)
    assert kept == NAMES[: len(kept)]
    assert 0 < len(kept) < len(NAMES)
    assert main([*RUN[3:], "--resume", str(journal.path)]) == 0
    assert [unit.workload.name for unit in load(journal.target).units] == NAMES


def test_shards_together_are_the_whole(tmp_path, capsys):
    common = ["run", "quick", "--impl", "gather", "--phase", "forward", "--workload", PATTERN_2D]
    paths = [tmp_path / f"shard-{number}.json" for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        more = ["--seconds", "0.02", "--processes", "1", "--shard", f"{number}/2", "-o", str(path)]
        assert main([*common, *more]) == 0
    found = [{unit.workload.name for unit in load(path).units} for path in paths]
    assert sorted(map(len, found)) == [2, 3]
    assert set.union(*found) == set(NAMES[:5])
    capsys.readouterr()
    assert main(["report", *map(str, paths), "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "1/9"])
def test_a_part_that_is_none_is_refused(part, tmp_path, capsys):
    arguments = ["run", "quick", "--workload", PATTERN, "--shard", part]
    with pytest.raises(SystemExit) if part != "1/9" else pytest.MonkeyPatch.context():
        assert main([*arguments, "-o", str(tmp_path / "run.json")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def sick(name):
    return Reference(name, str(PLUGINS / "sick.py"), is_file=True)


def test_who_fails_three_workloads_in_a_row_is_set_aside(monkeypatch):
    suite = load_suite("quick")
    planned = Plan(
        suite=suite,
        workloads=tuple(suite.find(name) for name in NAMES[:5]),
        implementations=(sick("crashing"), *choose(["gather"])[0]),
        broken=(),
        dtypes=("float32",),
        device="cpu",
        settings=Settings(0.02, 0.005, 1, 1, 0, 60.0, (Phase.FORWARD,)),
    )
    run = execute(planned)
    reasons = [cell.reason for cell in run.cells if cell.implementation == "crashing"]
    assert [reason.startswith("set aside after 3") for reason in reasons] == [False] * 3 + [
        True
    ] * 2
    assert reasons[2] in reasons[3]
    statuses = {cell.status for cell in run.cells if cell.implementation == "gather"}
    assert statuses == {Status.OK}
    # One that recovers in between is given another chance.
    engine = Engine(planned, None)
    failing = run.units[0]
    well = replace(
        failing,
        cells=tuple(
            replace(cell, implementation="crashing")
            for cell in failing.cells
            if cell.implementation == "gather"
        ),
    )
    for unit in (*[failing] * (PATIENCE - 1), well, *[failing] * (PATIENCE - 1)):
        engine.judge(unit)
    assert not engine._set_aside
