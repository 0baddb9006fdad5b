"""The shell of action.yml, run by hand in clones, with a `sparsebench` that tells what it was given."""

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.repositories import committed, git

ACTION = (Path(__file__).parents[1] / "action.yml").read_text()
STEP = ACTION.partition("- name: Measure both in turn")[2].partition("run: |\n")[2]
FAKE = """#!/bin/sh
printf '<%s>' "$@"
echo 'a last line' >&2
exit ${CODE:-0}
"""


@pytest.fixture
def origin(tmp_path):
    """A repository with three commits, and a branch at the second."""
    folder = tmp_path / "origin"
    for text in ("one", "two", "three"):
        committed(folder, text)
    git(folder, "branch", "before", "HEAD~1")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    return folder


@pytest.fixture
def act(origin, tmp_path):
    """Run the step in a clone; return its status and output, the summary, and the clone."""

    def run(base, arguments="", *clone, code=0):
        folder = tmp_path / "clone"
        git(tmp_path, "clone", "-q", "--single-branch", *clone, origin.as_uri(), str(folder))
        fake = tmp_path / "sparsebench" / "bin" / "sparsebench"
        fake.parent.mkdir(parents=True)
        fake.write_text(FAKE)
        fake.chmod(0o755)
        variables = {
            "IMPL": "mine.py",
            "BASE": base,
            "SUITE": "quick",
            "ARGUMENTS": arguments,
            "BUILD": "make -s",
            "FAIL_ON_SLOWER": "true",
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "CODE": str(code),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", textwrap.dedent(STEP)],  # noqa: S607
            cwd=folder,
            check=False,
            env=os.environ | variables,
            capture_output=True,
            text=True,
        )
        summary = tmp_path / "summary"
        return done, summary.read_text() if summary.exists() else "", folder

    return run


@pytest.mark.parametrize("base", ["", "0" * 40])
def test_without_a_base_nothing_is_compared_with_itself(act, base):
    done, summary, _ = act(base)
    assert done.returncode == 2
    assert "no base to compare with" in done.stdout
    assert summary == ""


def test_a_branch_is_fetched_and_a_whole_clone_stays_whole(act, origin):
    done, summary, folder = act("before", "--workload '2d-* 3d-*' --processes 7")
    assert done.returncode == 0
    assert f"<ab><{git(origin, 'rev-parse', 'before')}><--repository><.>" in summary
    assert "<--suite><quick><--build><make -s><--output>" in summary
    (runs,) = folder.parent.glob("sparsebench-runs-*")
    assert f"<--output><{runs}>" in summary
    assert f"runs={runs}\n" in (folder.parent / "output").read_text()
    assert summary.endswith("<--markdown><--workload><2d-* 3d-*><--processes><7>")
    assert git(folder, "rev-parse", "--is-shallow-repository") == "false"


def test_of_a_shallow_clone_one_commit_more_is_fetched(act, origin):
    commit = git(origin, "rev-parse", "before")
    done, summary, folder = act(commit, "", "--depth", "1")
    assert done.returncode == 0
    assert summary.endswith("<--markdown>")
    assert git(folder, "rev-parse", f"{commit}^{{commit}}") == commit


@pytest.mark.parametrize(
    ("base", "arguments", "words"),
    [
        ("nowhere", "", "no branch or tag is called nowhere"),
        ("before", "--workload '2d", "cannot split --workload '2d"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(act, base, arguments, words):
    done, summary, _ = act(base, arguments)
    assert done.returncode == 2
    assert words in done.stdout
    assert summary == ""


@pytest.mark.parametrize(("code", "status"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 4), (70, 70)])
def test_exit_codes_pass_for_what_they_mean(act, code, status):
    done, summary, _ = act("before", code=code)
    assert done.returncode == status
    assert ("a last line" in summary) is (code in {2, 70})
    assert "a last line" in done.stdout
