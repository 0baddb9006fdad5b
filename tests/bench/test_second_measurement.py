from dataclasses import replace

import pytest

from bench.comparison import compare_runs
from bench.results.schema import GpuConditions, Status
from bench.second_measurement import _confirmed, suspected, together
from bench.statistics.intervals import Interval
from bench.statistics.verdicts import Verdict
from tests.reports.compared_runs import changed, ended, lock_step, made, noisy_lock_step, verdicts
from tests.reports.synthetic_runs import Noise, density_group


def test_what_is_merely_noisy_need_not_be_measured_again():
    loud = Noise(rounds=0.2, processes=0.2, count=3)
    base, head = made(seed=1, noise=loud), made(1.05, seed=2, noise=loud)
    changes = compare_runs(base, head, paired=True)
    sure, all_of_them = suspected(changes, noisy=False), suspected(changes)
    assert sum(map(len, sure.values())) < sum(map(len, all_of_them.values()))
    assert all(cells <= all_of_them[workload] for workload, cells in sure.items())
    plain = lock_step(1.05, 1)
    assert suspected(plain, noisy=False) == suspected(plain)


def test_what_was_suspected_is_judged_by_both_measurements_together():
    first, second = lock_step(1.05, 1), lock_step(1.05, 11)
    assert set(suspected(first)) == {record.name for record in density_group()[:3]}
    both = together(first, second)
    assert verdicts(both, "gather") == {Verdict.SLOWER}
    assert {len(cell.timing.processes) for cell in both.head.cells} == {8}
    processes = {tuple(s.process for s in cell.timing.processes) for cell in both.head.cells}
    assert processes == {tuple(range(8))}
    width, wider = (
        {cell.key: cell.ratio.detectable for cell in changes.cells} for changes in (both, first)
    )
    assert sum(width.values()) < sum(wider.values())


@pytest.mark.parametrize(("failing", "code"), [("head", 4), ("base", 0)])
def test_what_fails_in_the_second_measurement_has_failed(failing, code):
    second = {"base": made(seed=11), "head": made(1.05, seed=12)}
    second[failing] = changed(second[failing], ended(Status.INCORRECT))
    both = together(lock_step(1.05, 1), compare_runs(**second, paired=True))
    assert both.exit_code == code
    assert verdicts(both, "gather") == {Verdict.MISSING}
    assert not {cell.status for cell in both.head.cells} - {Status.OK, Status.INCORRECT}


@pytest.mark.parametrize(
    ("again", "expected"), [(1.005, Verdict.AMBIGUOUS), (1.02, Verdict.SLOWER)]
)
def test_what_shows_again_only_within_the_dead_band_is_ambiguous(again, expected):
    (cell, *_) = lock_step(1.05, 1).of(Verdict.SLOWER)
    second = replace(cell.ratio, interval=Interval(again, again - 0.001, again + 0.001))
    assert _confirmed(cell, second).verdict is expected


def test_how_the_gpu_fared_is_joined_of_both_measurements():
    def watched(changes, megahertz):
        seen = GpuConditions(3, (megahertz, megahertz), (50, 60), {})
        units = tuple(replace(unit, gpu=seen) for unit in changes.head.units)
        return replace(changes, head=replace(changes.head, units=units))

    both = together(watched(lock_step(1.05, 1), 1500), watched(lock_step(1.05, 11), 1200))
    assert {unit.gpu for unit in both.base.units} == {None}
    assert {(unit.gpu.looks, unit.gpu.megahertz) for unit in both.head.units} == {(6, (1200, 1500))}


def test_a_slowdown_that_does_not_come_again_is_ambiguous():
    both = together(lock_step(1.05, 1), lock_step(1.0, 11))
    assert Verdict.SLOWER not in verdicts(both, "gather")
    assert both.exit_code != 1


def test_what_was_not_measured_again_keeps_its_verdict():
    second = lock_step(1.05, 11)
    only = replace(
        second,
        base=replace(second.base, units=second.base.units[:1]),
        head=replace(second.head, units=second.head.units[:1]),
        cells=tuple(c for c in second.cells if c.workload == second.base.units[0].workload.name),
    )
    both = together(lock_step(1.05, 1), only)
    found = {cell.workload: cell.verdict for cell in both.cells if cell.implementation == "gather"}
    assert list(found.values()) == [Verdict.SLOWER, Verdict.AMBIGUOUS, Verdict.AMBIGUOUS]
    assert verdicts(both, "masked") == {Verdict.SAME}


def test_a_family_that_may_be_slower_is_measured_again_as_a_whole_and_must_show_again():
    first = noisy_lock_step(1.02, 1)
    again = suspected(first)
    assert set(again) == {record.name for record in density_group()}
    slow = {family.phase for family in first.slower_families}
    for suspects in again.values():
        assert {("gather", phase) for phase in slow} <= suspects
    assert together(first, noisy_lock_step(1.02, 21)).slower_families
    gone = together(first, noisy_lock_step(1.0, 21))
    assert not gone.slower_families
    assert gone.exit_code != 1
