"""`pytest --benchmark` in sessions of its own."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import pytest_cells
from bench.errors import UserError
from bench.pytest_cells import SuiteSession
from bench.results.store import load

PLUGINS = Path(__file__).parents[1] / "plugins"
ITEMS = """
import pytest

@pytest.mark.sparsebench(suite="quick")
def test_quick(sparsebench_cell, request):
    sparsebench_cell.run(request)
"""
ONE = "--sparsebench-workload=2d-submanifold-k3-c32-grid96-uniform-1%"
RAISING = """
from pathlib import Path
from impls.gather import Gather

class Raising(Gather):
    name = "raising"

    def convolution(self, *_):
        with Path(__file__).with_name("tries").open("a") as tries:
            tries.write("+")
        raise RuntimeError("none today")
"""
FAST = ("--sparsebench-seconds=0.05", "--sparsebench-processes=1")


@pytest.fixture
def session(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it is not one of ours
    pytester.makepyfile(ITEMS)
    return pytester


def test_without_the_flag_items_are_checked_once_and_nothing_is_timed(session):
    result = session.runpytest_subprocess(ONE, "--sparsebench-impl=dense,gather", "-q")
    result.assert_outcomes(passed=10)
    assert "benchmark:" not in result.stdout.str()


def test_with_the_flag_the_table_and_json_hold_the_measured_samples(session):
    result = session.runpytest_subprocess(
        ONE,
        *FAST,
        "--benchmark",
        "--sparsebench-impl=gather",
        "--sparsebench-phase=forward",
        "--benchmark-json=out.json",
        "--sparsebench-output=run.json",
    )
    result.assert_outcomes(passed=1)
    report = json.loads((session.path / "out.json").read_text())
    run = json.loads((session.path / "run.json").read_text())
    (benchmark,) = report["benchmarks"]
    samples = run["units"][0]["cells"][0]["timing"]["processes"][0]
    durations = [value / samples["calls"] * 1e-9 for one in samples["rounds"] for value in one]
    assert benchmark["stats"]["data"] == pytest.approx(durations)
    assert benchmark["extra_info"]["implementation"] == "gather"
    assert benchmark["extra_info"]["verified"]
    assert report["machine_info"]["sparsebench"] == {"device": "cpu", "threads": 1}
    assert report["sparsebench"]["machine"] == run["header"]["machine"]["name"]
    assert report["sparsebench"]["libraries"]
    assert "0x" not in json.dumps(benchmark["options"])
    assert run["finished"] >= run["header"]["started"]


def test_a_run_file_that_exists_is_refused_before_anything_is_measured(session):
    (session.path / "run.json").write_text("kept")
    result = session.runpytest_subprocess(
        ONE, *FAST, "--benchmark", "--sparsebench-impl=gather", "--sparsebench-output=run.json"
    )
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*run.json exists; a run file is written once*"])
    assert (session.path / "run.json").read_text() == "kept"


@pytest.mark.parametrize(
    "flags", [pytest.param((), marks=pytest.mark.slow), ("--benchmark", *FAST)]
)
def test_wrong_implementations_fail_in_both_modes_without_a_time(session, flags):
    result = session.runpytest_subprocess(
        ONE, *flags, f"--sparsebench-impl={PLUGINS / 'wrong.py'}", "--sparsebench-phase=backward"
    )
    failed = [line for line in result.stdout.lines if line.startswith("FAILED")]
    names = {"off_by_one_tap", "wrong_gradient", "wrong_second_call", "spurious_site"}
    assert names <= {line.split("float32-")[1].split("]")[0] for line in failed}
    assert "incorrect" in result.stdout.str()


@pytest.mark.slow
def test_a_regression_against_a_saved_run_fails_the_session_in_one_line(session):
    options = (
        ONE,
        *FAST,
        "--benchmark",
        "--sparsebench-impl=gather",
        "--sparsebench-phase=forward",
    )
    session.runpytest_subprocess(*options, "--benchmark-save=base").assert_outcomes(passed=1)
    (saved,) = session.path.glob(".benchmarks/*/*_base.json")
    report = json.loads(saved.read_text())
    for stats in (benchmark["stats"] for benchmark in report["benchmarks"]):
        for key in ("min", "max", "mean", "median"):
            stats[key] /= 1000
    saved.write_text(json.dumps(report))
    result = session.runpytest_subprocess(
        *options, "--benchmark-compare=0001", "--benchmark-compare-fail=median:50%"
    )
    assert result.ret == 1
    assert "Performance has regressed" in result.stdout.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--sparsebench-impl=nosuch", "unknown implementation 'nosuch'"),
        ("--sparsebench-workload=nosuch", "no workload of suite 'quick' matches"),
        ("--sparsebench-output=.", ". is a folder: name a file, such as run.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(session, option, words):
    result = session.runpytest_subprocess(option, "--benchmark")
    assert result.ret == 2
    (line,) = [line for line in result.stdout.lines + result.stderr.lines if words in line]
    assert "sparsebench: error: " in line
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("mistake", ["seconds=nan", "seconds=0", "processes=1.9", "threads=99999"])
def test_a_quantity_that_is_none_is_a_usage_error(session, mistake):
    option, _, value = mistake.partition("=")
    result = session.runpytest_subprocess(f"--sparsebench-{mistake}", "--collect-only")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert f"argument --sparsebench-{option}: '{value}' is not a " in text
    assert "Traceback" not in text


def test_what_pytest_benchmark_warns_of_in_the_checkout_is_no_traceback(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "suites/bench_quick.py", "--benchmark"),
            *("-k", "nosuch", f"--benchmark-json={tmp_path / 'times.json'}"),
        ],
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if "XDIST" not in name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "Not saving anything" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_what_is_deselected_is_not_measured(session):
    result = session.runpytest_subprocess(
        ONE,
        *FAST,
        "--benchmark",
        "--sparsebench-impl=dense,gather,masked",
        "--sparsebench-output=run.json",
        "-k",
        "forward-float32 and (gather or masked)",
    )
    result.assert_outcomes(passed=2, deselected=13)
    written = load(session.path / "run.json")
    assert {(cell.implementation, cell.phase) for cell in written.cells} == {
        ("gather", "forward"),
        ("masked", "forward"),
    }
    assert written.finished


def test_the_machine_that_a_run_is_compared_with_is_the_same(session):
    options = (
        ONE,
        *FAST,
        "--benchmark",
        "--sparsebench-impl=masked",
        "--sparsebench-phase=forward",
    )
    session.runpytest_subprocess(*options, "--benchmark-autosave").assert_outcomes(passed=1)
    (saved,) = session.path.glob(".benchmarks/*/*.json")
    report = json.loads(saved.read_text())
    again = session.runpytest_subprocess(*options, "--collect-only", "--benchmark-compare")
    told = again.stdout.str() + again.stderr.str()
    assert "Comparing against benchmarks" in told
    (now,) = re.findall(r"Current: (\{.*\}) VS saved", told) or [None]
    if now is not None:  # the processor's clock rate may differ, which pytest-benchmark looks up
        mine = json.loads(now)["sparsebench"]
        assert mine == report["machine_info"]["sparsebench"]


def test_with_benchmarks_disabled_nothing_is_measured(session):
    disabled = session.runpytest_subprocess(
        ONE,
        *FAST,
        "--benchmark",
        "--benchmark-disable",
        "--sparsebench-impl=masked",
        "--sparsebench-phase=forward",
        "--sparsebench-output=run.json",
    )
    disabled.assert_outcomes(passed=1)
    assert not (session.path / "run.json").exists()


@pytest.mark.parametrize("workers", [["-n2"], ["--dist", "load", "--tx", "2*popen"]])
def test_measuring_under_xdist_is_refused(workers, session):
    result = session.runpytest_subprocess(ONE, "--benchmark", *workers, timeout=120)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "xdist" in result.stderr.str()


def test_a_session_without_pytest_benchmark_works_and_cannot_measure(session):
    off = ("-p", "no:benchmark", "--strict-markers", ONE, "--sparsebench-impl=masked")
    result = session.runpytest_subprocess(*off, "--sparsebench-phase=forward")
    result.assert_outcomes(passed=1)
    result = session.runpytest_subprocess(*off, "--benchmark")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "pytest-benchmark, which is off" in result.stderr.str()


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        (("--benchmark", "--benchmark-only"), "cell"),
        (("--benchmark", "--benchmark-skip"), "other"),
        (("--benchmark-only",), ""),
    ],
)
def test_pytest_benchmark_chooses_measured_cells_as_benchmarks(
    pytester, monkeypatch, flags, chosen
):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark looks for it, too
    pytester.makepyfile(ITEMS + "def test_other():\n    pass\n")
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_finish(session):\n"
        "    for item in session.items:\n"
        "        skipped = item.get_closest_marker('skip')\n"
        "        print('kept', 'cell' if 'sparsebench_cell' in item.fixturenames else 'other',\n"
        "              bool(skipped), 'benchmark' in item.fixturenames)\n"
    )
    cells = (ONE, "--sparsebench-impl=masked", "--sparsebench-phase=forward")
    result = pytester.runpytest_subprocess(*cells, *flags, "--collect-only", "-q", "-s")
    told = [line.split() for line in result.outlines if line.startswith("kept ")]
    assert {kind for _, kind, skipped, _ in told if skipped == "False"} == ({chosen} - {""})
    assert {kind for _, kind, _, _ in told} == {"cell", "other"}
    assert {has_benchmark for *_, has_benchmark in told} == {"False"}
    hint = "sparsebench: cells are benchmarks with --benchmark; --benchmark-only alone skips them"
    assert (hint in result.outlines) == (flags == ("--benchmark-only",))


def test_machine_rates_that_cannot_be_measured_fail_every_item_after_one_attempt(monkeypatch):
    attempts = []

    class Refusing:
        def __init__(self, *_):
            pass

        def header(self):
            attempts.append(1)
            raise UserError("the machine's rates cannot be measured")

    monkeypatch.setattr(pytest_cells, "Engine", Refusing)
    monkeypatch.setattr(pytest_cells, "templates_for", lambda _: None)
    monkeypatch.setattr(pytest_cells, "resources", lambda _: [])
    session = SuiteSession.__new__(SuiteSession)
    session._engine, session._units, session._refusal = None, {}, ""
    session._waits, session._run_file = False, None
    session._held, session.plan = ExitStack(), SimpleNamespace(device="cpu")
    item = SimpleNamespace(workload=SimpleNamespace(name="w0"))
    for _ in range(2):
        with pytest.raises(pytest.fail.Exception, match="error: the machine's rates"):
            session.measured(item)
    assert len(attempts) == 1


def test_the_plugin_costs_other_projects_no_torch_import(pytester):
    pytester.makepyfile("import sys\ndef test_nothing():\n    assert 'torch' not in sys.modules")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_without_the_flag_who_raises_fails_in_a_line_and_is_tried_once(session):
    (session.path / "raising.py").write_text(RAISING)
    plugins = f"raising.py,{PLUGINS / 'unwilling.py'}"
    result = session.runpytest_subprocess(
        ONE, f"--sparsebench-impl={plugins}", "--sparsebench-phase=forward,backward"
    )
    result.assert_outcomes(failed=6)
    lines = [line for line in result.stdout.lines if line.startswith("error: RuntimeError: ")]
    assert sum("none today (raising.py" in line for line in lines) == 2
    assert sum("asked at the wrong moment (unwilling.py" in line for line in lines) == 2
    assert sum("no phases here (unwilling.py" in line for line in lines) == 2
    assert "Traceback" not in result.stdout.str()
    assert "pytest_cells.py" not in result.stdout.str()
    assert (session.path / "tries").read_text() == "+"


def test_a_worker_that_cannot_start_fails_the_item_that_needed_it():
    def measure(_):
        raise UserError("worker processes cannot start: no more memory")

    session = SuiteSession.__new__(SuiteSession)
    session._engine, session._units, session._refusal = SimpleNamespace(measure=measure), {}, ""
    session._run_file = None
    item = SimpleNamespace(workload=SimpleNamespace(name="w0"))
    with pytest.raises(pytest.fail.Exception, match="error: worker processes") as told:
        session.measured(item)
    assert told.value.__suppress_context__  # or pytest tells both


def test_a_device_that_is_not_there_is_one_line(session):
    result = session.runpytest_subprocess(ONE, "--benchmark", "--sparsebench-device=cuda:99")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--sparsebench-device: device 'cuda:99'" in result.stderr.str()
    assert "Traceback" not in result.stderr.str()
