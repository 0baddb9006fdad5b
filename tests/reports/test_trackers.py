"""Exports, read by pytest-benchmark itself, and by the documented schemas of the others."""

import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest

from bench.cli.main import main
from bench.results.store import write
from bench.statistics.intervals import seconds_per_call
from reports.trackers import to_bencher, to_github_action, to_pytest_benchmark
from tests.reports.synthetic_runs import density_group, make_run


class BencherMetric(msgspec.Struct, forbid_unknown_fields=True):
    """From bencher.dev/bmf.json."""

    value: float
    lower_value: float | None = None
    upper_value: float | None = None


class CustomResult(msgspec.Struct, forbid_unknown_fields=True):
    """From github-action-benchmark's README."""

    name: str
    unit: str
    value: float
    range: str = ""
    extra: str = ""


@pytest.fixture
def run():
    return make_run(density_group()[:2], ("dense", "gather", "brute"))


@pytest.fixture
def two_suites(run):
    """Two suites in one file, each with a workload of the same name."""
    (first, *_) = run.units
    other = replace(first, workload=replace(first.workload, suite="other"))
    return replace(run, units=(first, other))


def first_timed(run):
    return next(cell for cell in run.cells if cell.timing is not None)


def test_bencher_gets_nanoseconds_with_their_interval(run):
    found = msgspec.json.decode(to_bencher(run), type=dict[str, dict[str, BencherMetric]])
    assert len(found) == sum(cell.timing is not None for cell in run.cells)
    seconds = seconds_per_call(first_timed(run).timing)
    latency = next(iter(found.values()))["latency"]
    assert latency.value == pytest.approx(seconds.estimate * 1e9)
    assert latency.lower_value < latency.value < latency.upper_value
    assert all(len(name) <= 1024 for name in found)


def test_the_github_action_gets_milliseconds_of_which_less_is_better(run):
    found = msgspec.json.decode(to_github_action(run), type=list[CustomResult])
    assert found[0].value == pytest.approx(seconds_per_call(first_timed(run).timing).estimate * 1e3)
    assert {each.unit for each in found} == {"ms"}
    assert found[0].range.startswith("±")
    assert len({each.name for each in found}) == len(found)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (to_bencher, list),
        (to_github_action, lambda found: [each["name"] for each in found]),
        (to_pytest_benchmark, lambda found: [each["name"] for each in found["benchmarks"]]),
    ],
)
def test_what_two_suites_call_alike_is_told_apart(two_suites, form, names):
    found = names(json.loads(form(two_suites)))
    timed = sum(cell.timing is not None for cell in two_suites.cells)
    assert len(set(found)) == len(found) == timed
    assert {name.partition("/")[0] for name in found} == {
        unit.workload.suite for unit in two_suites.units
    }
    assert len(two_suites.workloads) == 2


def test_pytest_benchmark_compares_what_is_written_for_it(run, tmp_path):
    path = tmp_path / "0001_run.json"
    path.write_text(to_pytest_benchmark(run))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), "--csv=out.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    timed = [cell for cell in run.cells if cell.timing is not None]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + len(timed)
    stats = json.loads(path.read_text())["benchmarks"][0]["stats"]
    rounds = sum(len(samples.rounds) for samples in timed[0].timing.processes)
    assert (stats["rounds"], len(stats["data"])) == (rounds, rounds)
    assert stats["min"] <= stats["median"] <= stats["max"]


@pytest.mark.parametrize("form", ["bencher", "github-action", "pytest-benchmark"])
def test_the_command_writes_each_and_overwrites_none(form, run, tmp_path, capsys):
    path, target = tmp_path / "run.json", tmp_path / "out.json"
    write(run, path)
    assert main(["report", str(path), f"--{form}"]) == 0
    shown = capsys.readouterr().out
    json.loads(shown)
    assert main(["report", str(path), f"--{form}", "-o", str(target)]) == 0
    assert target.read_text() == shown
    assert main(["report", str(path), f"--{form}", "-o", str(target)]) == 2
    assert "name another file" in capsys.readouterr().err


@pytest.mark.parametrize(("commit", "told"), [("abc", False), ("abc+dirty", True)])
def test_a_dirty_commit_is_told_apart_from_its_name(run, commit, told):
    report = json.loads(
        to_pytest_benchmark(replace(run, header=replace(run.header, commit=commit)))
    )
    assert report["commit_info"] == {"id": "abc", "dirty": told}
