"""How two sides are measured in turns, and what again; workers and records are stand-ins."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_plan import WORKLOAD, plan

from bench import ab
from bench.ab import compare_revisions
from bench.errors import UserError
from bench.gpu import Look
from bench.measure import turns as turns_module
from bench.measure.messages import Measured
from bench.phases import Phase
from bench.results.schema import GpuConditions, Samples, Unit
from bench.revisions import Revision
from tests.reports.synthetic_runs import header, implementation


def test_how_the_gpu_fared_is_kept_of_both_sides(monkeypatch):
    asked = []

    @contextmanager
    def watched(device):
        asked.append(str(device))
        yield [Look(1500, 60, 0x4)]

    monkeypatch.setattr(ab, "watched", watched)
    monkeypatch.setattr(ab, "_in_lock_step", lambda *_: None)
    measured = plan(processes=1)
    side = SimpleNamespace(plan=measured, templates=None, versions={})
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
    side = SimpleNamespace(plan=measured, templates=None, versions={})
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

    def prepare(self, *_):
        pass

    restart = close = header = prepare


@pytest.mark.parametrize(
    ("plugins", "commit", "commits"),
    [
        (None, "111111111111", {"mine": "222222222222"}),
        (Path("mine"), "000000000000", {"dense": "111111111111", "mine": "222222222222"}),
    ],
    ids=["of this project", "of plug-ins"],
)
def test_commits_are_those_that_a_run_of_the_checkout_would_have(
    plugins, commit, commits, monkeypatch
):
    records = [
        replace(implementation(name), commit=at)
        for name, at in {"dense": 12 * "1", "gather": "", "mine": 12 * "2"}.items()
    ]
    found = replace(header((), (), ()), commit=12 * "0", implementations=tuple(records))
    monkeypatch.setattr(ab, "Engine", lambda *_: SimpleNamespace(header=lambda: found))
    monkeypatch.setattr(ab, "Templates", lambda *_, **__: None)
    revision = Revision("HEAD", 40 * "1", Path("checkout"), plugins)
    own = ab._Side(plan(), revision).header("0123456789ab")
    assert (own.commit, own.commits, own.pair) == (commit, commits, "0123456789ab")


def again(measured, *suspects):
    """The orders that go out where these are suspected in all workloads of a plan."""
    orders = []

    def run(_process, task, _timeout):
        orders.append(task)
        return iter(())

    templates = SimpleNamespace(run=run, pulse_path="", expectation_path="", log=Path("worker.log"))
    everywhere = {workload.name: frozenset(suspects) for workload in measured.workloads}
    for workload in measured.workloads:
        ab._record(measured, workload, "float32", everywhere, {}).measure(templates, 0)
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
