"""What a test's own markers and options ask of `pytest --benchmark`."""

import json

import pytest

from bench.exclusive import LOCKS, exclusive, resources

ONE = "--sparsebench-workload=2d-submanifold-k3-c32-grid96-uniform-1%"
FAST = (
    "--sparsebench-seconds=0.05",
    "--sparsebench-processes=1",
    "--sparsebench-phase=forward",
    "--sparsebench-impl=gather",
)
ITEMS = """
import pytest

{marker}
@pytest.mark.sparsebench(suite="quick")
def test_quick(sparsebench_cell, request):
    sparsebench_cell.run(request)
"""


@pytest.fixture
def session(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # it is not one of ours
    return pytester


def measured(session, *options):
    """Measure; return the outcome, pytest-benchmark's JSON and the run file."""
    result = session.runpytest_subprocess(
        ONE,
        *FAST,
        "--benchmark",
        "--benchmark-json=out.json",
        "--sparsebench-output=run.json",
        *options,
    )
    return result, *(
        json.loads((session.path / f"{each}.json").read_text()) for each in ("out", "run")
    )


def durations(run):
    """Seconds of a call, of every sample of a run file's only cell."""
    (process,) = run["units"][0]["cells"][0]["timing"]["processes"]
    return [value / process["calls"] * 1e-9 for each in process["rounds"] for value in each]


def test_a_marker_of_the_tests_own_names_the_group_and_never_the_clock(session):
    marker = '@pytest.mark.benchmark(group="my layers", timer=__import__("time").perf_counter)'
    session.makepyfile(ITEMS.format(marker=marker))
    result, report, run = measured(session)
    result.assert_outcomes(passed=1)
    (benchmark,) = report["benchmarks"]
    assert benchmark["group"] == "my layers"
    assert benchmark["stats"]["data"] == pytest.approx(durations(run))


def test_times_that_pytest_benchmark_took_itself_fail_the_item(session):
    session.makepyfile(ITEMS.format(marker=""))
    session.makeconftest(
        "import pytest, time\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_collection_finish(session):\n"
        "    for item in session.items:\n"
        "        clock = pytest.mark.benchmark(timer=time.perf_counter)\n"
        "        item.add_marker(clock, append=False)\n"
    )
    result = session.runpytest_subprocess(ONE, *FAST, "--benchmark")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pytest-benchmark did not take the times that were measured*"])
    assert "1 benchmarks" not in result.stdout.str()


def test_a_cell_has_its_times_and_no_profile(session):
    session.makepyfile(ITEMS.format(marker=""))
    result, report, run = measured(session, "--benchmark-cprofile=cumtime")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["sparsebench: cells * get no profile"])
    (benchmark,) = report["benchmarks"]
    assert benchmark["stats"]["data"] == pytest.approx(durations(run))


def test_the_json_says_which_workload_was_measured_and_is_the_same_in_every_run(session):
    session.makepyfile(ITEMS.format(marker=""))
    _, report, run = measured(session)
    (benchmark,) = report["benchmarks"]
    record = run["units"][0]["workload"]
    named = {"suite": "suite", "workload": "name", "group": "group", "position": "position"}
    assert {key: benchmark["extra_info"][key] for key in named} == {
        key: record[name] for key, name in named.items()
    }
    assert benchmark["params"] == {"sparsebench_cell": benchmark["param"]}
    assert "0x" not in json.dumps(benchmark)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_mistake_fails_its_own_module_in_a_line_with_xdist_and_without(session, workers):
    session.makepyfile(
        test_wrong=ITEMS.format(marker="").replace('"quick"', '"nope"'),
        test_other="def test_nothing():\n    pass\n",
    )
    result = session.runpytest_subprocess(workers, "--continue-on-collection-errors", timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    told = [line for line in result.stdout.lines if "unknown suite 'nope'" in line]
    assert told
    assert told[0].startswith("sparsebench: error: ")
    assert "Traceback" not in result.stdout.str()
    assert "pytest_plugin.py" not in result.stdout.str()


SUITE = """
from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload
from suites.patterns import Uniform

def workloads():
    return (Workload("pool", single(max_pooling(2, 2, 2)), Uniform((8, 8), 1, 0.5), 1),)

SUITE = Suite("tiny", "one pooling", workloads)
"""


@pytest.mark.parametrize(
    "spellings",
    [
        ('suite="tiny.py"', 'suite="./tiny.py"'),
        ('suite=pathlib.Path(__file__).with_name("tiny.py")', '"../folder/tiny.py"'),
    ],
)
def test_a_suites_file_is_found_from_the_test_however_it_is_spelt(session, spellings):
    folder = session.mkdir("folder")
    (folder / "tiny.py").write_text(SUITE)
    for number, spelling in enumerate(spellings):
        items = "import pathlib\n" + ITEMS.format(marker="").replace('suite="quick"', spelling)
        (folder / f"test_{number}.py").write_text(items)
    result = session.runpytest_subprocess(*FAST[2:], str(folder))
    result.assert_outcomes(passed=2)


def test_a_marker_may_name_implementations_by_a_path_from_the_test(session):
    folder = session.mkdir("folder")
    (folder / "tiny.py").write_text(SUITE)
    (folder / "mine.py").write_text(
        "from impls.gather import Gather\nclass Mine(Gather):\n    name = 'mine'\n"
    )
    marked = ITEMS.format(marker="").replace('suite="quick"', 'suite="tiny.py", impl=IMPL')
    both = marked.replace("IMPL", '"dense, mine.py"')
    (folder / "test_both.py").write_text(both + both.replace("test_quick", "test_again"))
    result = session.runpytest_subprocess("--sparsebench-phase=forward", "folder")
    result.assert_outcomes(passed=4)
    result = session.runpytest_subprocess(*FAST[2:], "folder", "-v")  # an option has the last word
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*pool-forward-float32-gather* PASSED*"])
    (folder / "test_other.py").write_text(marked.replace("IMPL", '"dense"'))
    result = session.runpytest_subprocess("folder")
    assert "tests of suite 'tiny' name different implementations" in result.stdout.str()


def test_rivals_of_one_suite_share_no_table_with_another_ones(session):
    (session.path / "tiny.py").write_text(SUITE)
    (session.path / "other.py").write_text(SUITE.replace('"tiny"', '"other"'))
    for name in ("tiny", "other"):
        items = ITEMS.format(marker="").replace('suite="quick"', f'suite="{name}.py"')
        (session.path / f"test_{name}.py").write_text(items)
    result = session.runpytest_subprocess(*FAST, "--benchmark", "--benchmark-json=out.json")
    result.assert_outcomes(passed=2)
    benchmarks = json.loads((session.path / "out.json").read_text())["benchmarks"]
    assert {each["group"] for each in benchmarks} == {
        "tiny pool forward float32",
        "other pool forward float32",
    }


@pytest.mark.parametrize(
    "given", ["", "suite=3", 'suite="quick", impl=3', '"quick", suite="quick"', 'name="quick"']
)
def test_a_marker_that_names_no_suite_is_one_line(session, given):
    session.makepyfile(ITEMS.format(marker="").replace('suite="quick"', given))
    result = session.runpytest_subprocess("--collect-only")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    told = [line for line in result.stdout.lines if line.startswith("sparsebench: error: ")]
    assert len(told) == 1
    assert "Traceback" not in result.stdout.str()


def test_a_session_that_finds_another_measuring_says_how_to_wait(session, monkeypatch):
    monkeypatch.setenv(LOCKS, str(session.path))
    session.makepyfile(ITEMS.format(marker=""), test_other="def test_nothing():\n    pass\n")
    with exclusive(resources("cpu"), folder=session.path):
        result = session.runpytest_subprocess(ONE, *FAST, "--benchmark")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*is in use by another measurement*`--sparsebench-wait` waits*"])


BROKEN = """
from dataclasses import dataclass
from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload

@dataclass(frozen=True)
class Sensor:
    version = 1

    def batch(self, channels, seed):
        raise ValueError("no such sensor")

def workloads():
    return (Workload("pool", single(max_pooling(2, 2, 2)), Sensor(), 1),)

SUITE = Suite("broken", "an input that cannot be made", workloads)
"""


@pytest.mark.parametrize("flags", [(), ("--benchmark",)])
def test_an_input_that_cannot_be_made_is_told_in_the_same_line_in_both_modes(session, flags):
    (session.path / "broken.py").write_text(BROKEN)
    session.makepyfile(ITEMS.format(marker="").replace('"quick"', '"broken.py"'))
    result = session.runpytest_subprocess(*FAST, *flags)
    result.assert_outcomes(failed=1)
    assert (
        "sparsebench: error: workload 'pool': its input cannot be made: "
        "ValueError: no such sensor (broken.py:12)"
    ) in result.stdout.lines
    assert "Traceback" not in result.stdout.str()
