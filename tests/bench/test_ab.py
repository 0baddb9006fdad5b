"""Two revisions in lock step, for real: clones of this checkout, worktrees, worker processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_plan import WORKLOAD, plan

from bench.ab import compare_revisions
from bench.cli.ab import _null_result, same_on_both_sides
from bench.cli.main import main
from bench.commits import own_commit
from bench.comparison import compare_runs
from bench.errors import UserError
from bench.exit_codes import ExitCode
from bench.plugins.implementations import choose
from bench.results.schema import Status
from bench.results.store import load
from bench.revisions import PROJECT, checked_out
from bench.statistics.verdicts import Verdict

FULL = "2d-full-k2-c16to32-grid96-strokes"
# So much slower that no noise of a busy machine hides it.
PLANTED = """
import time as _time
_inner = MaskedConvolution.forward
def _slow(self, native):
    started = _time.perf_counter()
    result = _inner(self, native)
    end = _time.perf_counter() + 7 * (_time.perf_counter() - started)
    while _time.perf_counter() < end:
        pass
    return result
MaskedConvolution.forward = _slow
"""


def git(folder, *arguments):
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A clone of this checkout, as it is, with a slower commit on top, and one that is broken."""
    try:
        git(PROJECT, "rev-parse")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("ab") / "project"
    git(PROJECT, "clone", "-q", "--shared", ".", str(folder))
    changed = git(PROJECT, "ls-files", "--modified", "--others", "--exclude-standard").splitlines()
    for name in changed:
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "as it is")
    git(folder, "tag", "as-it-is")
    masked = folder / "impls" / "masked.py"
    masked.write_text(masked.read_text() + PLANTED)
    git(folder, "commit", "-q", "-a", "-m", "slower")
    git(folder, "tag", "slower")
    (folder / "bench" / "measure" / "worker.py").write_text("raise RuntimeError('half an edit')\n")
    git(folder, "commit", "-q", "-a", "-m", "broken")
    git(folder, "tag", "broken")
    git(folder, "rm", "-q", "bench/measure/turns.py")
    git(folder, "commit", "-q", "-m", "before lock step")
    git(folder, "tag", "ancient")
    return folder


@pytest.mark.slow
def test_a_planted_slowdown_is_found_where_it_is_and_confirmed(project):
    told = []
    with checked_out("as-it-is", project) as base, checked_out("slower", project) as head:
        changes = compare_revisions(plan(), base, head, lambda *each: told.append(each))
        assert base.folder.exists()
    assert not base.folder.exists()
    found = {cell.implementation: cell for cell in changes.cells}
    assert found["masked"].verdict is Verdict.SLOWER
    assert 4 < found["masked"].ratio.interval.estimate < 16  # 8 was planted
    assert found["dense"].verdict is not Verdict.SLOWER
    assert changes.exit_code == 1
    assert changes.head.header.commit == git(project, "rev-parse", "--short=12", "slower")
    assert changes.base.header.commits == changes.head.header.commits == {}
    # Three processes, and three more to confirm.
    assert [each[:2] for each in told] == [(1, 3), (2, 3), (3, 3)] * 2
    rounds = [len(s.rounds) for cell in changes.base.cells for s in cell.timing.processes]
    assert min(rounds) >= 3


@pytest.fixture
def repository(tmp_path):
    """A repository of its own with the README's example, an eighth as fast in its working tree.

    What makes it slow there is a module beside it.
    """
    folder = tmp_path / "mine"
    (folder / "code").mkdir(parents=True)
    example = (PROJECT / "docs" / "examples" / "unfold.py").read_text()
    (folder / "code" / "mine.py").write_text(
        f"{example}\nimport pace\npace.set(UnfoldConvolution)\n"
    )
    pace = folder / "code" / "pace.py"
    pace.write_text("def set(_): pass\n")
    git(folder.parent, "init", "-q", str(folder))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")
    pace.write_text(f"def set(MaskedConvolution):\n{textwrap.indent(PLANTED, '    ')}")
    return folder


@pytest.mark.slow
def test_plug_in_files_have_revisions_of_their_own(repository):
    plugin = choose([str(repository / "code" / "mine.py")])[0]
    mine = replace(plan(workload=FULL), implementations=(*choose(["dense"])[0], *plugin))
    with (
        checked_out("HEAD", repository / "code", plugins=True) as base,
        checked_out(None, repository, plugins=True) as head,
    ):
        changes = compare_revisions(mine, base, head)
    found = {cell.implementation: cell for cell in changes.cells}
    assert found.pop("dense").verdict is not Verdict.SLOWER
    (changed,) = found.values()
    assert changed.verdict is Verdict.SLOWER
    assert changes.head.header.commits["unfold"].endswith("+dirty")
    assert changes.head.header.commit == changes.base.header.commit == own_commit()


@pytest.mark.slow
def test_a_plug_in_that_a_revision_lacks_is_new(repository):
    git(repository, "rm", "-q", "-f", "code/mine.py")
    git(repository, "commit", "-q", "-m", "without")
    git(repository, "checkout", "-q", "HEAD~", "--", "code/mine.py")
    mine = replace(
        plan(workload=FULL),
        implementations=tuple(choose([str(repository / "code" / "mine.py")])[0]),
    )
    with checked_out("HEAD", repository, plugins=True) as base:
        with pytest.raises(
            UserError, match=r"cannot run at HEAD: it has no code/mine\.py; what both"
        ):
            compare_revisions(mine, base, base)
        beside = replace(mine, implementations=(*choose(["dense"])[0], *mine.implementations))
        with checked_out(None, repository, plugins=True) as head:
            changes = compare_revisions(beside, base, head)
        statuses = {cell.implementation: cell.base_status for cell in changes.cells}
        assert statuses == {"dense": "ok", "unfold": "absent"}
        with pytest.raises(UserError, match="name a plug-in file"):
            compare_revisions(plan(), base, base)


REGISTERS = """
import torch
OPERATORS = torch.library.Library("mine", "DEF")
OPERATORS.define("half(Tensor given) -> Tensor")
OPERATORS.impl("half", lambda given: given / 2, "CPU")
"""
"""An operator of torch's, of which there may be one in a process."""


@pytest.mark.slow
def test_plug_ins_may_register_operators_and_load_what_is_built(repository):
    source = repository / "code" / "mine.py"
    built = "assert (__import__('pathlib').Path(__file__).parent / 'kernel.so').exists()\n"
    source.write_text(source.read_text() + REGISTERS + built)
    (repository / ".gitignore").write_text("*.so\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "with an operator")
    (repository / "code" / "kernel.so").touch()
    mine = replace(plan(0.05, 1, workload=FULL), implementations=tuple(choose([str(source)])[0]))
    here = checked_out(None, repository, plugins=True)
    there = checked_out("HEAD", repository, plugins=True)
    with there as base, here as head, pytest.raises(UserError) as told:
        compare_revisions(mine, base, head)
    assert str(base.folder) not in str(told.value)
    assert "cannot run at HEAD: plug-in file code/mine.py does not import" in str(told.value)
    assert "git does not track are not in its checkout: --build makes them" in str(told.value)
    there = checked_out("HEAD", repository, plugins=True, build="touch code/kernel.so")
    here = checked_out(None, repository, plugins=True, build="touch code/kernel.so")
    with there as base, here as head:
        changes = compare_revisions(mine, base, head)
    assert {cell.head_status for cell in changes.cells} == {"ok"}
    assert {cell.base_status for cell in changes.cells} == {"ok"}
    versions = {each.version for each in changes.base.header.implementations}
    assert {cell.implementation_version for cell in changes.base.cells} == versions


def test_a_command_that_fails_to_build_is_told_with_its_last_words(repository):
    words = (
        r"cannot build HEAD: `echo no compiler >&2; exit 3` ended with exit status 3: no compiler"
    )
    build = "echo no compiler >&2; exit 3"
    with (
        pytest.raises(UserError, match=words),
        checked_out("HEAD", repository, plugins=True, build=build),
    ):
        pytest.fail("it was built")
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_extensions_that_are_compiled_when_loaded_are_each_checkouts_own(repository):
    with (
        checked_out("HEAD", repository, plugins=True) as base,
        checked_out("HEAD", repository, plugins=True) as head,
        checked_out(None, repository, plugins=True) as here,
    ):
        folders = [each.environment.get("TORCH_EXTENSIONS_DIR") for each in (base, head, here)]
        assert len(set(folders)) == 3
        assert folders[2] is None


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("nowhere", "unknown revision 'nowhere'"),
        ("ancient", "cannot run at ancient: its workers cannot take turns yet"),
    ],
)
def test_what_cannot_be_checked_out_or_take_turns_is_refused(revision, words, project):
    with pytest.raises(UserError, match=words), checked_out(revision, project):
        pytest.fail("it was checked out")
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_what_git_itself_refuses_is_said_in_its_words(tmp_path, project, monkeypatch):
    words = r"git rev-parse: .*not a git repository"
    with pytest.raises(UserError, match=words), checked_out("HEAD", tmp_path):
        pytest.fail("it was checked out")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is missing"), checked_out("HEAD", project):
        pytest.fail("it was checked out")


def test_what_a_hook_is_about_to_commit_stays_as_it_is(repository, monkeypatch):
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    git(repository, "add", "-A")
    staged = git(repository, "diff", "--cached", "--stat")
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    with checked_out("HEAD", repository, plugins=True) as base:
        assert (base.folder / "code" / "pace.py").read_text() == "def set(_): pass\n"
    assert "pace.py" in staged
    assert git(repository, "diff", "--cached", "--stat") == staged


@pytest.mark.slow
def test_a_revision_that_does_not_import_is_named(project):
    with (
        checked_out("as-it-is", project) as base,
        checked_out("broken", project) as head,
        pytest.raises(UserError, match=r"cannot run at broken: .*half an edit"),
    ):
        compare_revisions(plan(), base, head)


def test_the_working_tree_is_itself(project):
    with checked_out(None, project) as revision:
        assert revision.folder == project
        assert revision.commit == git(project, "rev-parse", "HEAD")
        readme = project / "README.md"
        before = readme.read_text()
        readme.write_text("new")
        try:
            with checked_out(None, project) as dirty:
                assert dirty.commit.endswith("+dirty")
        finally:
            readme.write_text(before)


@pytest.mark.slow
def test_what_a_null_test_found_is_told(project):
    with checked_out("as-it-is", project) as base:
        same = compare_revisions(plan(0.05, 2), base, base)
    slow = replace(same, cells=tuple(replace(c, verdict=Verdict.SLOWER) for c in same.cells))
    assert _null_result(slow).startswith("false alarms: 2 of 2 cells (100")
    nothing = compare_runs(same.base, replace(same.head, units=()))
    assert _null_result(nothing) == "nothing was compared"
    assert all(cell.status is Status.OK for cell in same.base.cells)


@pytest.mark.slow
def test_what_was_measured_is_kept_and_compared_again_as_it_was(repository, tmp_path, capsys):
    given = ["--repository", str(repository), "--impl", f"dense,{repository / 'code' / 'mine.py'}"]
    measure = ["--workload", FULL, "--phase", "forward", "--seconds", "0.1", "--processes", "2"]
    kept = tmp_path / "kept"
    code = main(["ab", "HEAD", *given, *measure, "--json", "-o", str(kept)])
    told = json.loads(capsys.readouterr().out)
    files = [kept / "base.json", kept / "head.json"]
    runs = [load(file) for file in files]
    assert main(["compare", *map(str, files), "--json"]) == code
    assert code in {ExitCode.SLOWER, ExitCode.UNKNOWN}  # of few rounds, where the machine is busy
    assert json.loads(capsys.readouterr().out) == told
    assert len({run.header.pair for run in runs}) == 1
    assert [run.header.commit for run in runs] == [own_commit()] * 2
    assert all(run.header.pair and run.finished and run.units[0].seconds["wall"] for run in runs)
    processes = {
        cell.implementation: [samples.process for samples in cell.timing.processes]
        for cell in runs[0].cells
    }
    assert processes["unfold"] == [0, 1, 2, 3]  # two, and two more to confirm
    assert main(["report", str(files[0]), "-o", str(tmp_path / "page.html")]) == 0
    assert main(["ab", "HEAD", *given, *measure, "-o", str(kept)]) == 2
    assert f"{files[0]} exists" in capsys.readouterr().err


def test_plug_in_files_that_no_revision_changes_are_told():
    told = same_on_both_sides("dense, my/kernel.py", None)
    assert "; my/kernel.py: the same file on both sides. With --repository" in told
    assert not same_on_both_sides("dense,my/kernel.py", Path())
    assert not same_on_both_sides("dense,gather", None)
    assert not same_on_both_sides(None, None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ab", "nowhere"], "unknown revision 'nowhere'"),
        (["ab", "HEAD", "HEAD", "--null"], "leave HEAD out"),
        (["ab", "--", "--upload-pack=x"], "unknown revision"),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_ended_leaves_no_worktree_and_no_folder_behind(number, project, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    own = tmp_path / "project"
    git(project, "clone", "-q", "--shared", "--branch", "as-it-is", ".", str(own))
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(own)}
    # Whoever starts the tests in the background may have it ignored, and children would, too.
    before = signal.signal(number, signal.default_int_handler)
    try:
        started = subprocess.Popen(
            [
                *(sys.executable, "-m", "bench", "ab", "HEAD", "HEAD"),
                *("--workload", WORKLOAD, "--impl", "gather", "--phase", "forward"),
            ],
            cwd=own,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, before)
    end = time.monotonic() + 60
    while not list(folder.glob("sparsebench-*/worker.log")) and time.monotonic() < end:
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.05)
    started.send_signal(number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == (130 if number == signal.SIGINT else 128 + number), said
    assert said.endswith("sparsebench: interrupted\n")
    assert len(git(own, "worktree", "list").splitlines()) == 1
    left = [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]
    assert left == []
