"""At which commit a file is, and which files are at none."""

import os
import subprocess

import pytest
from repositories import committed, git

from bench import commits
from bench.commits import commits_of, moved, own_commit


@pytest.fixture
def plugin(tmp_path):
    return tmp_path / "plug-ins" / "known.py"


def test_a_commit_is_dirty_by_what_was_changed_and_not_by_files_that_git_does_not_know(
    tmp_path, monkeypatch
):
    known = tmp_path / "known.py"
    known.write_text("")
    monkeypatch.setattr(commits, "HERE", known)
    assert own_commit() == ""
    clean = committed(tmp_path)
    assert own_commit() == clean
    (tmp_path / "run.json.partial").write_text("a run that goes on here")
    assert own_commit() == clean
    known.write_text("changed")
    assert own_commit() == f"{clean}+dirty"


def test_a_file_of_another_repository_is_at_that_ones_commit(plugin):
    first = committed(plugin.parent, "first")
    beside = plugin.with_name("beside.py")
    assert commits_of([plugin, plugin]) == {plugin: first}
    second = committed(plugin.parent, "second", beside.name)
    assert second != first
    assert commits_of([plugin, beside]) == {plugin: second, beside: second}
    beside.write_text("what it is made of may lie in another file")
    assert commits_of([plugin]) == {plugin: f"{second}+dirty"}


def test_what_git_does_not_track_is_at_no_commit(plugin, tmp_path):
    committed(plugin.parent, ".venv", ".gitignore")
    installed = plugin.parent / ".venv" / "site-packages" / "plugin.py"
    installed.parent.mkdir(parents=True)
    for path in (installed, plugin, tmp_path / "outside.py"):
        path.write_text("")
        assert commits_of([path]) == {}
    strange = plugin.with_name(":(glob)[k]n*wn.py")
    committed(plugin.parent, "", plugin.name)
    strange.write_text("")
    assert commits_of([strange]) == {}  # git would take its name for a pattern


def test_what_has_no_commit_yet_is_at_none(plugin):
    plugin.parent.mkdir()
    plugin.write_text("")
    git(plugin.parent, "init", "-q")
    git(plugin.parent, "add", plugin.name)
    assert commits_of([plugin]) == {}


def test_files_of_sparsebench_s_own_checkout_are_at_no_commit_of_their_own(plugin, monkeypatch):
    committed(plugin.parent)
    monkeypatch.setattr(commits, "HERE", plugin)
    beside = plugin.with_name("impls.py")
    committed(plugin.parent, "", beside.name)
    assert commits_of([beside]) == {}


def test_sparsebench_installed_below_a_plug_in_s_repository_is_not_at_its_commit(
    plugin, monkeypatch
):
    commit = committed(plugin.parent)
    installed = plugin.parent / ".venv" / "bench" / "commits.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(commits, "HERE", installed)
    assert own_commit() == ""
    assert commits_of([plugin]) == {plugin: commit}


@pytest.mark.parametrize("is_missing", [True, False], ids=["no git", "git refuses"])
def test_without_git_there_is_no_commit_and_no_error(is_missing, plugin, tmp_path, monkeypatch):
    committed(plugin.parent)
    (tmp_path / "bin").mkdir()
    if not is_missing:
        (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexit 128\n")
        (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert commits_of([plugin]) == {}
    assert own_commit() == ""


def test_a_hook_of_another_repository_does_not_change_which_is_asked(plugin, tmp_path, monkeypatch):
    commit = committed(plugin.parent)
    committed(tmp_path / "other", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
    assert commits_of([plugin]) == {plugin: commit}


def test_a_repository_is_asked_no_more_often_for_more_files(plugin, monkeypatch):
    asked = []

    def count(command, **options):
        asked.append(command)
        return run(command, **options)

    run = subprocess.run
    files = [plugin.with_name(f"{number}.py") for number in range(9)]
    for file in files:
        committed(plugin.parent, "", file.name)
    monkeypatch.setattr(commits.subprocess, "run", count)
    assert len(commits_of(files)) == 9
    assert len(asked) == 2
    assert all(os.fspath(plugin.parent) in command for command in asked)


def test_who_moved_is_who_is_known_to_be_at_another_commit():
    earlier = {"a": "1", "b": "2", "c": "3"}
    assert moved(earlier, {"a": "1", "b": "4", "d": "5"}) == {"b": "2"}
