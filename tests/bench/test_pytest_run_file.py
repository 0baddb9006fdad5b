"""The run file of `pytest --benchmark --sparsebench-output`: whole, or what was finished before."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from stored_runs import header, run, unit

from bench import pytest_plugin
from bench.pytest_cells import RunFile
from bench.results.store import load

OUTPUT = "--sparsebench-output=run.json"
ITEMS = """
import pytest

@pytest.mark.sparsebench(suite="quick")
def test_quick(sparsebench_cell, request):
    sparsebench_cell.run(request)
"""
FAST = (
    "--benchmark",
    "--sparsebench-seconds=0.05",
    "--sparsebench-processes=1",
    "--sparsebench-phase=forward",
    "--sparsebench-impl=gather",
)
ONE = "--sparsebench-workload=2d-submanifold-k3-c32-grid96-uniform-1%"
TWO = f"{ONE},2d-submanifold-k3-c32-grid96-uniform-5%"


@pytest.fixture
def session(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it is not one of ours
    pytester.makepyfile(ITEMS)
    return pytester


def finished(run_file, *runs):
    """End a session with suites that measured these; return its status and what it said."""
    suites = {
        str(number): SimpleNamespace(close=lambda own=own: own) for number, own in enumerate(runs)
    }
    said = []
    terminal = SimpleNamespace(write_line=lambda line, **_: said.append(line))
    plugins = SimpleNamespace(get_plugin=lambda _: terminal)
    stash = {pytest_plugin.SESSIONS: suites, pytest_plugin.RUN_FILE: run_file}
    ended = SimpleNamespace(
        config=SimpleNamespace(stash=stash, pluginmanager=plugins), exitstatus=0
    )
    pytest_plugin.pytest_sessionfinish(ended)
    return ended.exitstatus, said


def begun(target, *units):
    """A run file of which some units are measured."""
    run_file = RunFile(target)
    run_file.begin(header())
    for each in units:
        run_file.journal.add(each)
    return run_file


def test_all_suites_of_a_session_are_in_its_run_file(tmp_path):
    target = tmp_path / "run.json"
    quick, layers = run(unit("w0")), run(unit("w0", suite="layers"), suites=("layers",))
    assert finished(begun(target), quick, None, layers) == (0, [])
    assert load(target).units == quick.units + layers.units
    assert load(target).header.suites == ("quick", "layers")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_run_file_that_came_meanwhile_is_told_and_kept(tmp_path):
    target = tmp_path / "run.json"
    run_file = begun(target, unit("w0"))
    target.write_text("kept")
    status, (said,) = finished(run_file, run(unit("w0")))
    assert status == pytest_plugin.USAGE_ERROR
    assert "run.json exists" in said
    assert f"{target}.partial has what was measured" in said
    assert target.read_text() == "kept"
    assert load(run_file.journal.path).units == (unit("w0"),)


def test_a_session_that_measured_nothing_leaves_nothing(tmp_path):
    target = tmp_path / "run.json"
    assert finished(begun(target)) == (0, [])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_made_and_the_command_is_told_as_it_was(session):
    options = (*FAST, ONE, "--sparsebench-output=new/folder/run.json")
    session.runpytest_subprocess(*options).assert_outcomes(passed=1)
    command = load(session.path / "new" / "folder" / "run.json").header.command
    assert command[0] == "pytest"
    assert set(options) <= set(command)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(session):
    (session.path / "file").write_text("no folder")
    result = session.runpytest_subprocess(*FAST, TWO, "--sparsebench-output=file/run.json")
    result.assert_outcomes(failed=2)
    assert "cannot write file/run.json.partial: " in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_a_file_without_measuring_is_refused(session):
    result = session.runpytest_subprocess("--sparsebench-output=run.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --sparsebench-output writes what is measured*"])


def test_a_name_that_is_no_utf8_is_one_line(session):
    result = session.runpytest_subprocess(*FAST, "--sparsebench-output=caf\udce9.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["sparsebench: error: 'caf?udce9.json' is not UTF-8*"])


def test_a_session_that_is_ended_keeps_what_was_finished(session):
    started = subprocess.Popen(
        [sys.executable, "-m", "pytest", *FAST, TWO, "--sparsebench-seconds=2", OUTPUT],
        cwd=session.path,
        stdout=subprocess.DEVNULL,
    )
    journal = session.path / "run.json.partial"
    end = time.monotonic() + 120
    while not (journal.exists() and load(journal).units) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGTERM)
    assert started.wait() == -signal.SIGTERM
    assert len(load(journal).units) == 1
