"""Processes of their own find the modules that the command or the test session finds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refusal

from bench import fresh
from bench.plugins.files import import_file, path_without_folders
from bench.plugins.suites import load_suite
from bench.results.schema import Status
from bench.results.store import load

PROJECT = Path(__file__).parents[2]
FAST = ("--workload", "2d-submanifold-k3-c32-grid96-uniform-1%", "--phase", "forward")
SUITE = """
import pytest
from mylib import CHANNELS
from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload
from suites.patterns import Uniform

def workloads():
    network = single(max_pooling(2, 2, 2))
    return (Workload("pool", network, Uniform((8, 8), 1, 0.5), CHANNELS),)

SUITE = Suite("tiny", "one pooling", workloads)

@pytest.mark.sparsebench(suite=__file__)
def test_tiny(sparsebench_cell, request):
    sparsebench_cell.run(request)
"""


def said_by(code):
    done = subprocess.run(
        [*fresh.interpreter(f"{code}\n"), "an argument"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_fresh_process_has_this_harness_and_this_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "caf\udce9"), *sys.path])
    assert said_by("import bench; print(bench.__file__)") == str(PROJECT / "bench" / "__init__.py")
    assert said_by("print(ascii(path))") == ascii(path_without_folders())
    assert said_by("print(sys.argv[1:])") == "['an argument']"


def test_of_two_versions_of_a_file_each_finds_its_own_neighbours(tmp_path):
    for version in ("new", "old"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "version_beside.py").write_text(f"VERSION = {version!r}\n")
        (folder / "mine.py").write_text(
            "def version():\n    import version_beside\n    return version_beside.VERSION\n"
        )
    import_file(tmp_path / "new" / "mine.py", "file")  # this process knows the newest one
    code = (
        "sys.path[:] = path\n"
        "from pathlib import Path\n"
        "from bench.plugins.files import import_file\n"
        "{first}"
        "print(import_file(Path({old!r}), 'file').version())"
    )
    old = str(tmp_path / "old" / "mine.py")
    new = f"import_file(Path({str(tmp_path / 'new' / 'mine.py')!r}), 'file')\n"
    for first in ("", new):  # such as a suite that lies beside the newest one
        assert said_by(code.format(first=first, old=old)) == "old"


@pytest.mark.parametrize("name", ["statistics.py", "bench.py"])
def test_a_file_in_the_working_directory_is_no_module_of_workers(tmp_path, name):
    (tmp_path / name).write_text("raise RuntimeError('not what was meant')\n")
    script = tmp_path / "command" / "sparsebench"
    script.parent.mkdir()
    script.write_text(
        f"import sys\nsys.path.append({str(PROJECT)!r})\nfrom bench.__main__ import main\nmain()\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, script, "run", "quick", *FAST, "--impl", "gather"),
            *("--seconds", "0.05", "--processes", "1", "-o", "run.json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [cell.status for cell in load(tmp_path / "run.json").cells] == [Status.OK]


def test_workers_find_what_pytest_was_told_to_look_for(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makeini("[pytest]\npythonpath = src\n")
    (pytester.mkdir("src") / "mylib.py").write_text("CHANNELS = 1\n")
    pytester.mkdir("tests")
    # pytest looks beside the test first, where this would hide the standard library's.
    (pytester.path / "tests" / "statistics.py").write_text("raise RuntimeError\n")
    (pytester.path / "tests" / "test_tiny.py").write_text(SUITE)
    result = pytester.runpytest_subprocess(
        *("--benchmark", "--sparsebench-impl=dense", "--sparsebench-phase=forward"),
        *("--sparsebench-seconds=0.05", "--sparsebench-processes=1"),
    )
    result.assert_outcomes(passed=1)


def test_a_suite_file_that_imports_relatively_is_one_line(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text("from .neighbour import CHANNELS\n")
    assert refusal(load_suite, str(path)) == (
        f"suite file {path} imports relatively, but is found by its path and has no package: "
        f"write absolute imports"
    )


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_file_called_bench_switches_the_plugin_off_in_a_line_and_stops_nothing(
    is_hidden, tmp_path
):
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    if is_hidden:
        (tmp_path / "bench.py").write_text("raise RuntimeError('not what was meant')\n")
    names = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "sparsebench_pytest", "--trace-config"],
        cwd=tmp_path,
        env=os.environ | names,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    hidden = f"sparsebench is off: {tmp_path / 'bench.py'} hides its package `bench`"
    assert (hidden in done.stdout) == is_hidden
    assert ("bench.pytest_plugin" in done.stdout) != is_hidden
