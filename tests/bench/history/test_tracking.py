"""The whole way of tracking on real, tiny measurements: run, compare, export, archive, alert.

Nothing here depends on how long anything takes: machines that test this are noisy.
"""

import json
import re
import subprocess

import pytest

from bench.ab import PROJECT
from bench.cli.main import main

pytestmark = pytest.mark.slow
TINY = (
    "--workload=2d-submanifold-k3-c32-grid96-uniform-1%",
    "--impl=dense,gather",
    "--phase=forward",
    "--seconds=0.05",
    "--processes=2",
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four runs of one workload: as many as history needs."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / f"run-{number}.json" for number in range(4)]
    for path in paths:
        assert main(["run", "quick", *TINY, "-o", str(path)]) == 0
    return [str(path) for path in paths]


def test_two_runs_are_compared_and_told_for_a_pull_request(runs, capsys):
    code = main(["compare", runs[0], runs[1], "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code in {0, 1, 3}  # a noisy machine may say anything but that something failed
    assert told["exit_code"] == code
    assert {cell["implementation"] for cell in told["cells"]} == {"dense", "gather"}
    assert main(["compare", runs[0], runs[1], "--markdown"]) == code
    assert capsys.readouterr().out.startswith("<!-- generator: sparsebench compare -->")


@pytest.mark.parametrize("form", ["bencher", "github-action", "pytest-benchmark"])
def test_a_run_is_exported_to_other_trackers(form, runs, capsys):
    assert main(["report", runs[0], f"--{form}"]) == 0
    assert "gather" in capsys.readouterr().out


def test_runs_join_an_archive_that_is_drawn_and_watched(runs, tmp_path, capsys):
    pytest.importorskip("duckdb")
    pytest.importorskip("ruptures")
    store, page = str(tmp_path / "store"), tmp_path / "page.html"
    assert main(["history", "add", *runs, "--store", store]) == 0
    assert main(["history", "show", "--store", store, "-o", str(page)]) == 0
    assert page.read_text().count('<svg class="spark"') == 2
    capsys.readouterr()
    assert main(["history", "show", "--store", store, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(each["series"]["runs"]) for each in found["series"]] == [4, 4]
    assert main(["history", "alerts", "--store", store]) in {0, 1}


def test_a_revision_is_compared_with_itself(capsys):
    committed = subprocess.run(
        ["git", "-C", str(PROJECT), "rev-parse", "HEAD"],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if committed.returncode:
        pytest.skip("this is no git checkout")
    assert main(["ab", "HEAD", "--null", *TINY, "--impl=dense,masked", "--processes=1"]) in {
        0,
        1,
        3,
    }
    told = capsys.readouterr().out
    assert re.search(r"false alarms: \d of 2 cells \(", told)
