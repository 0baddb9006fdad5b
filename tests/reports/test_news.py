"""What changed is told once, by the command that the nightly workflow runs."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports.nights import SLOW_FROM, nightly

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

from bench.cli.main import main
from bench.results.schema import Status
from bench.results.store import write

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
WORKFLOW = (WORKFLOWS / "nightly.yml").read_text()
NIGHTS = range(14)
COMMITS = "https://forge.test/project/commit/{commit}"


@pytest.fixture
def night(tmp_path, monkeypatch, capsys):
    """Add a run to the archive, and alert, as the workflow does; return exit code and words."""
    monkeypatch.chdir(tmp_path)

    def go_by(run):
        target = Path("runs/nightly.json")
        target.unlink(missing_ok=True)
        write(run, target)
        for verb in ("add", "alerts"):
            (command,) = re.findall(rf"bin/sparsebench (history {verb} .*)", WORKFLOW)
            given = shlex.split(command.partition(" > ")[0].replace("$COMMITS", COMMITS))
            code = main([str(name) for each in given for name in [*Path().glob(each)] or [each]])
        return code, capsys.readouterr().out

    return go_by


def slow(number):
    return nightly(number, factor=1.2 if number >= SLOW_FROM else 1.0)


def test_a_step_is_told_on_one_night_only(night):
    told = [night(slow(number)) for number in NIGHTS]
    assert [code for code, _ in told] == [3] * 3 + [0] * 6 + [1] + [0] * 4
    (words,) = [words for code, words in told if code == 1]
    assert "**2 cells became slower recently: investigate.**" in words
    assert "070000000000..080000000000" in words


@pytest.mark.parametrize("second", [1.3, 1.8])
def test_a_second_step_soon_after_the_first_is_told_too(night, second):
    def stepping(number):
        return nightly(number, factor=1.0 if number < SLOW_FROM else 1.2 if number < 10 else second)

    codes = [night(stepping(number))[0] for number in range(16)]
    assert [number for number, code in enumerate(codes) if code == 1] == [9, 11]


def test_one_runners_step_is_not_told_by_another(night):
    def elsewhere(run):
        machine = replace(run.header.machine, name="another")
        return replace(run, header=replace(run.header, machine=machine, id="f" + run.header.id[1:]))

    codes = [(night(slow(number))[0], night(elsewhere(nightly(number)))[0]) for number in NIGHTS]
    assert [here for here, _ in codes].count(1) == 1
    assert 1 not in {there for _, there in codes}


def test_a_cell_that_loses_its_time_is_told_on_one_night_only(night):
    def broken(run):
        units = tuple(
            replace(
                unit,
                cells=tuple(
                    replace(cell, status=Status.INCORRECT, reason="wrong", timing=None, verified="")
                    if cell.implementation == "gather"
                    else cell
                    for cell in unit.cells
                ),
            )
            for unit in run.units
        )
        return replace(run, units=units)

    codes = [
        night(broken(nightly(number)) if number in {5, 6, 7, 9} else nightly(number))[0]
        for number in range(10)
    ]
    assert [number for number, code in enumerate(codes) if code == 4] == [5, 9]


def test_a_run_that_is_not_in_the_archive_brings_no_news(night, tmp_path, capsys):
    night(nightly(0))
    write(nightly(1), tmp_path / "other.json")
    assert main(["history", "alerts", "--new", "other.json"]) == 2
    assert "other.json is not in the archive: `sparsebench history add`" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_workflows_can_be_read(path):
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(path.read_text())["jobs"]
