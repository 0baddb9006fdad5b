"""Two revisions in lock step, for real: clones of this checkout, worktrees, worker processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import ab
from bench.ab import PROJECT, checked_out, compare_revisions
from bench.cli.ab import _null_result
from bench.cli.main import main
from bench.comparison import compare_runs
from bench.errors import UserError
from bench.gpu import Look
from bench.known_suites import load_suite
from bench.measure import turns as turns_module
from bench.measure.messages import Measured
from bench.measure.plan import Plan
from bench.phases import Phase
from bench.registry import choose
from bench.results.schema import GpuConditions, Samples, Settings, Status, Unit
from bench.statistics import Verdict

WORKLOAD = "2d-submanifold-k3-c32-grid96-uniform-5%"
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


def plan(seconds=0.8, processes=3, workload=WORKLOAD):
    suite = load_suite("quick")
    return Plan(
        suite=suite,
        workloads=(suite.find(workload),),
        implementations=tuple(choose(["dense", "masked"])[0]),
        broken=(),
        dtypes=("float32",),
        device="cpu",
        settings=Settings(seconds, 0.005, processes, 1, 0, 60.0, (Phase.FORWARD,)),
    )


@pytest.mark.slow
def test_a_planted_slowdown_is_found_where_it_is_and_confirmed(project):
    told = []
    with checked_out("as-it-is", project) as base, checked_out("slower", project) as head:
        changes = compare_revisions(plan(), base, head, told.append)
        assert base.folder.exists()
    assert not base.folder.exists()
    found = {cell.implementation: cell for cell in changes.cells}
    assert found["masked"].verdict is Verdict.SLOWER
    assert 4 < found["masked"].ratio.interval.estimate < 16  # 8 was planted
    assert found["dense"].verdict is not Verdict.SLOWER
    assert changes.exit_code == 1
    assert changes.head.header.commit == git(project, "rev-parse", "slower")
    # Three processes, and three more to confirm.
    assert [step.process for step in told] == [0, 1, 2] * 2
    rounds = [len(s.rounds) for cell in changes.base.cells for s in cell.timing.processes]
    assert min(rounds) >= 3


def test_how_the_gpu_fared_is_kept_of_both_sides(monkeypatch):
    asked = []

    @contextmanager
    def watched(device):
        asked.append(str(device))
        yield [Look(1500, 60, 0x4)]

    monkeypatch.setattr(ab, "watched", watched)
    monkeypatch.setattr(ab, "_in_lock_step", lambda *_: None)
    measured = plan(processes=1)
    side = SimpleNamespace(plan=measured, templates=None)
    units = ab._measure(measured, [side, side], None, None)
    seen = GpuConditions(1, (1500, 1500), (60, 60), {"the power limit": 1})
    assert [unit.gpu for (unit,) in units] == [seen, seen]
    assert asked == ["cpu"]


class Side:
    """Stands in for a record: what its worker does, in turns."""

    def __init__(self, work):
        self.plan, self.workload, self.dtype = plan(), plan().workloads[0], "float32"
        self.work = work

    def measure(self, _templates, _process, turns):
        self.work(turns)


def test_a_side_that_has_nothing_to_measure_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(turns_module, "BEAT_SECONDS", 0.01)
    patience, came = iter(range(500)), []

    def work(turns):
        mine = turns_module.Turns(turns.socket, turns.side, lambda: next(patience))
        mine.meet()
        mine.close()
        came.append(turns.side)

    ab._in_lock_step([Side(lambda _: None), Side(work)], [None, None], 0)
    assert came == ["head"]


def test_a_side_that_refuses_is_told_with_the_workload():
    def refuse(_):
        raise UserError("it changed")

    with pytest.raises(UserError, match=f"cannot compare {WORKLOAD}: it changed"):
        ab._in_lock_step([Side(refuse), Side(lambda _: None)], [None, None], 0)


def test_a_fault_on_one_side_is_no_comparison_of_what_is_left():
    def fail(_):
        raise OSError("no more files")

    with pytest.raises(OSError, match="no more files"):
        ab._in_lock_step([Side(lambda _: None), Side(fail)], [None, None], 0)


def test_calls_that_last_about_as_long_on_both_sides_get_equal_numbers(monkeypatch):
    both = []

    def in_lock_step(records, _templates, process):
        both[:] = records
        for record, nanoseconds in zip(records, (1_000, 1_400), strict=True):
            samples = Samples(process, 2, ((2 * nanoseconds,),))
            record.hear(Measured("dense", Phase.FORWARD, "clock", samples, None))

    monkeypatch.setattr(ab, "_in_lock_step", in_lock_step)
    monkeypatch.setattr(ab, "unit_of", lambda records, _: Unit(records[0].workload, ()))
    measured = plan(processes=2)
    side = SimpleNamespace(plan=measured, templates=None)
    ab._measure(measured, [side, side], None, None)
    known = [record._known_durations() for record in both]
    assert known == [{"dense": {Phase.FORWARD: 1_400}}] * 2
    both[0].agreed_ns.clear()
    both[1].agreed_ns.clear()
    slow = Samples(0, 1, ((9_000,),))
    both[1].measured.clear()
    both[1].hear(Measured("dense", Phase.FORWARD, "clock", slow, None))
    both[0].agree_with(both[1])
    assert [each._known_durations()["dense"][Phase.FORWARD] for each in both] == [1_000, 9_000]


@pytest.mark.parametrize(("phases", "asked"), [(1, [True]), (5, [True, False])])
def test_what_is_merely_noisy_is_measured_again_only_where_there_is_time(
    monkeypatch, phases, asked
):
    def suspected(_changes, *, noisy=True):
        noises.append(noisy)
        everything = frozenset(("dense", phase) for phase in measured.settings.phases)
        return {workload.name: everything for workload in measured.workloads} if noisy else {}

    noises, done = [], []
    measured = plan()
    settings = replace(measured.settings, phases=tuple(Phase)[:phases])
    measured = replace(measured, settings=settings)
    monkeypatch.setattr(ab, "suspected", suspected)
    monkeypatch.setattr(ab, "_Side", FakeSide)
    monkeypatch.setattr(ab, "_measure", lambda *arguments: done.append(arguments[2]) or ((), ()))
    monkeypatch.setattr(ab, "compare_runs", lambda *_, **__: f"measured {len(done)} times")
    monkeypatch.setattr(ab, "together", lambda *both: both)
    monkeypatch.setattr(ab, "_plan_at", lambda plan_there, _: plan_there)
    found = compare_revisions(measured, None, None)
    assert noises == asked
    assert (done[0], len(done)) == (None, 3 - len(asked))
    assert found == (
        ("measured 1 times", "measured 2 times") if len(done) == 2 else "measured 1 times"
    )


class FakeSide:
    def __init__(self, plan_there, revision):
        self.plan, self.templates = plan_there, None

    def prepare(self):
        pass

    restart = close = header = prepare


def again(measured, *suspects):
    """The orders that go out where these are suspected in all workloads of a plan."""
    orders = []

    def run(_process, task, _timeout):
        orders.append(task)
        return iter(())

    templates = SimpleNamespace(run=run, pulse_path="", expectation_path="", log=Path("worker.log"))
    everywhere = {workload.name: frozenset(suspects) for workload in measured.workloads}
    for workload in measured.workloads:
        ab._record(measured, workload, "float32", everywhere).measure(templates, 0)
    return orders


def test_only_what_is_suspected_is_measured_again():
    phases = (Phase.ENCODE, Phase.FORWARD, Phase.FORWARD_COLD)
    measured = replace(plan(), settings=replace(plan().settings, phases=phases))
    (order,) = again(measured, ("dense", Phase.FORWARD), ("masked", Phase.FORWARD_COLD))
    assert order.phases == (Phase.FORWARD, Phase.FORWARD_COLD)
    assert order.left_out == {"dense": (Phase.FORWARD_COLD,), "masked": (Phase.FORWARD,)}
    assert order.seed != measured.settings.seed  # of other orders than the first time
    (order,) = again(measured, ("dense", Phase.FORWARD))
    assert [reference.name for reference in order.implementations] == ["dense"]
    assert order.left_out == {"dense": ()}


def test_what_is_measured_again_takes_two_fifths_of_the_time_or_one_phase_at_most():
    phases = tuple(Phase)[:5]
    one = plan(seconds=1.0)
    five = replace(
        one,
        workloads=one.suite.workloads(),
        settings=replace(one.settings, phases=phases),
    )

    def seconds(measured, suspected_phases):
        orders = again(measured, *[("dense", phase) for phase in suspected_phases])
        return sum(order.seconds * len(order.phases) for order in orders)

    whole = len(five.workloads) * len(phases)
    assert seconds(five, phases[:1]) == pytest.approx(whole / 5)
    assert seconds(five, phases[:2]) == pytest.approx(whole * 2 / 5)
    assert seconds(five, phases) == pytest.approx(whole * 2 / 5)
    assert seconds(one, [Phase.FORWARD]) == pytest.approx(1.0)
    assert ab._share(five, {}) == 1.0


@pytest.fixture
def repository(tmp_path):
    """A repository of its own with the README's example, an eighth as fast in its working tree."""
    folder = tmp_path / "mine"
    (folder / "code").mkdir(parents=True)
    plugin = folder / "code" / "mine.py"
    plugin.write_bytes((PROJECT / "docs" / "examples" / "unfold.py").read_bytes())
    git(folder.parent, "init", "-q", str(folder))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")
    planted = PLANTED.replace("MaskedConvolution", "UnfoldConvolution")
    plugin.write_text(plugin.read_text() + planted)
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
    assert changes.head.header.commit.endswith("+dirty")


def test_a_plug_in_that_a_revision_lacks_is_named(repository):
    git(repository, "rm", "-q", "-f", "code/mine.py")
    git(repository, "commit", "-q", "-m", "without")
    git(repository, "checkout", "-q", "HEAD~", "--", "code/mine.py")
    mine = replace(
        plan(workload=FULL),
        implementations=tuple(choose([str(repository / "code" / "mine.py")])[0]),
    )
    with checked_out("HEAD", repository, plugins=True) as base:
        with pytest.raises(UserError, match=r"cannot run at HEAD: it has no code/mine\.py"):
            compare_revisions(mine, base, base)
        with pytest.raises(UserError, match="name a plug-in file"):
            compare_revisions(plan(), base, base)


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
