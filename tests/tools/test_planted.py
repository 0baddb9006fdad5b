"""The tool that plants slowdowns: what it plants takes so long, and it counts what is told of it."""

import subprocess
import time
from types import SimpleNamespace

import pytest

from tools import planted
from tools.planted import MODULE, PROJECT, Tally, plant


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def project(tmp_path):
    """A repository with gather's module alone."""
    module = tmp_path / MODULE
    module.parent.mkdir(parents=True)
    module.write_text((PROJECT / MODULE).read_text())
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "as it is")
    return tmp_path


def test_what_is_planted_is_a_commit_that_takes_so_much_longer(project):
    commit = plant(project, 900)
    source = git(project, "show", f"{commit}:{MODULE}")
    assert (project / MODULE).read_text() == (PROJECT / MODULE).read_text()
    names = {"__name__": "planted_gather", "__file__": str(PROJECT / MODULE)}
    exec(source, names)  # noqa: S102  # our own
    inner = SimpleNamespace(native=None, seconds=0.0)

    def forward(_, native):
        started = time.perf_counter()
        inner.native = native
        time.sleep(0.01)
        inner.seconds = time.perf_counter() - started
        return "result"

    names["_inner"] = forward
    started = time.perf_counter()
    assert names["GatherConvolution"].forward(None, "native") == "result"
    seconds = time.perf_counter() - started
    assert inner.native == "native"
    assert seconds > 10 * inner.seconds  # of the same call, however long the machine stood still


def test_a_module_without_the_class_is_told(project):
    (project / MODULE).write_text("")
    with pytest.raises(SystemExit, match="no class GatherConvolution any more"):
        plant(project, 5)


def family(name, verdict, estimate):
    return {
        "implementation": name,
        "verdict": verdict,
        "shared": {"interval": {"estimate": estimate}},
    }


def told(mine, other, cells=("slower", "same")):
    return {
        "families": [family("gather", mine, 1.05), family("dense", other, 1.0)],
        "cells": [
            {"implementation": name, "verdict": verdict, "ratio": {}}
            for name, verdict in (*(("gather", each) for each in cells), ("dense", other))
        ],
    }


def test_trials_are_counted_by_family_and_by_cell():
    tally = Tally()
    tally.add(told("slower", "same"), 100.0)
    tally.add(told("ambiguous", "faster"), 200.0)
    assert tally.row(5) == ("| 5 % | 1 of 2 | 5.0% to 5.0% | 2 of 4 | 1 of 2 | 1 of 2 | 150 s |")


@pytest.mark.parametrize(("other", "code"), [("same", 0), ("slower", 1)])
def test_every_size_is_tried_in_turn_and_a_false_alarm_fails(other, code, monkeypatch, capsys):
    asked = []

    def compare(_, head, seed, arguments):
        asked.append((head, seed, arguments))
        return told("slower", other)

    monkeypatch.setattr(planted, "compare", compare)
    monkeypatch.setattr(planted, "plant", lambda _, percent: f"{percent:g}")
    arguments = ["--percent", "2,5", "--trials", "2", "--seed", "7", "--idle"]
    assert planted.main([*arguments, "--", "--suite", "layers"]) == code
    sizes = [(head, seed) for head, seed, _ in asked]
    assert sizes == [("2", 7), ("5", 7), ("2", 8), ("5", 8)]
    assert asked[0][2] == ["--suite", "layers"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("| 5 % | 2 of 2 | 5.0% to 5.0% | 2 of 4 |")
