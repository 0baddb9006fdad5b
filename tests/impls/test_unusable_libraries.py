"""A library that is missing or broken costs nobody else anything, and its cure is at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONE = ["--workload", "2d-submanifold-k3-c32-grid96-uniform-1%", "--phase", "forward"]
FAST = ["--seconds", "0.05", "--processes", "1"]


@pytest.fixture
def command(tmp_path):
    """Run a command where MinkowskiEngine was built for another torch, and spconv is another one."""
    libraries = tmp_path / "libraries"
    for name, source in (
        ("MinkowskiEngine", "raise ImportError('_C.so: undefined symbol: _ZN3c10')\n"),
        ("spconv", "__version__ = '2.1.25'\n"),
        ("spconv/pytorch", ""),
    ):
        (libraries / name).mkdir(parents=True)
        (libraries / name / "__init__.py").write_text(source)

    def run(*arguments):
        path = os.pathsep.join([str(libraries), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "400"},
        )

    return run


def test_list_says_what_is_wrong_and_how_to_cure_it(command):
    done = command("list", "--json")
    assert done.returncode == 0, done.stderr
    listed = {row["name"]: row["status"] for row in json.loads(done.stdout)["implementations"]}
    assert listed["gather"] == "ready"
    assert listed["minkowski"].startswith("unavailable: MinkowskiEngine does not import")
    assert "undefined symbol: _ZN3c10" in listed["minkowski"]
    assert "make minkowski" in listed["minkowski"]
    assert listed["spconv"].startswith("unavailable: spconv 2.1.25 is installed, and 2.3.8")
    assert "pip install spconv==2.3.8" in listed["spconv"]


@pytest.mark.slow
def test_a_run_goes_on_without_them_and_ends_with_the_cure(command, tmp_path):
    names = ["--impl", "gather,minkowski,spconv"]
    done = command("run", "quick", *ONE, *FAST, *names, "-o", str(tmp_path / "run.json"))
    assert done.returncode == 0, done.stderr
    table, _, rest = done.stdout.partition("cells: ")
    assert "gather" in table
    assert "minkowski" not in table
    assert rest.startswith("2 unavailable, 1 ok")
    cures = [line for line in rest.splitlines() if "unavailable in 1 cell" in line]
    assert [line.split(":")[0] for line in cures] == ["minkowski", "spconv"]
    assert "make minkowski" in cures[0]
    assert "pip install spconv==2.3.8" in cures[1]


def test_a_check_of_nothing_says_so_and_exits_3(command):
    done = command("check", "minkowski", "--dtype", "float32", "--examples", "1")
    assert done.returncode == 3, done.stderr
    assert "passed" not in done.stdout
    assert "make minkowski" in done.stdout
