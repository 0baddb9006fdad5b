"""What becomes of a workload whose workers say, or fail to say, this and that."""

from pathlib import Path

import pytest

from bench.background import Background
from bench.measure.messages import Checked, Done, Failed, Measured, PhaseDone
from bench.measure.plan import Plan
from bench.measure.processes import WorkerLostError
from bench.measure.record import Record, unit_of
from bench.phases import Phase
from bench.plugins.implementations import choose
from bench.plugins.suites import load_suite
from bench.results.schema import Samples, Settings, Status

FORWARD, BACKWARD = PHASES = (Phase.FORWARD, Phase.BACKWARD)
CHECKED = [Checked(name, "dense") for name in ("dense", "masked")]


class Workers:
    """Stands in for templates: each worker says what is written for it, and may be lost."""

    pulse_path, expectation_path, log = "", "kept", Path("worker.log")

    def __init__(self, *scripts):
        self.scripts = list(scripts)
        self.orders = []

    def run(self, _process, task, _timeout):
        self.orders.append(task)
        for each in self.scripts.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


def begun(processes=2, names=("dense", "masked")):
    suite = load_suite("quick")
    workload = suite.find("2d-submanifold-k3-c32-grid96-uniform-1%")
    settings = Settings(0.1, 0.005, processes, 1, 0, 60.0, PHASES)
    implementations = tuple(choose(list(names))[0])
    plan = Plan(suite, (workload,), implementations, (), ("float32",), "cpu", settings)
    return Record(plan, workload, "float32")


def measured(name, phase, process=0, samples=(1_000,), calls=1, peak=None, **more):
    return Measured(name, phase, "clock", Samples(process, calls, (samples,)), peak, **more)


def done(phase, process=0):
    return [*(measured(name, phase, process) for name in ("dense", "masked")), PhaseDone(phase)]


def lost(implementation, phase=-1, *, silent=False):
    return WorkerLostError("it is gone", implementation, phase, silent=silent)


def cells(record, name):
    return {cell.phase: cell for cell in record.cells() if cell.implementation == name}


def names(order):
    return [reference.name for reference in order.implementations]


@pytest.mark.parametrize(("silent", "status"), [(True, Status.TIMEOUT), (False, Status.ERROR)])
def test_who_ends_a_worker_loses_its_cells_and_the_others_go_on_where_they_were(silent, status):
    end = lost(1, tuple(Phase).index(BACKWARD), silent=silent)
    rest = [measured("dense", BACKWARD), PhaseDone(BACKWARD), Done({})]
    workers = Workers([*CHECKED, *done(FORWARD), end], rest, [Done({})])
    record = begun()
    record.measure(workers, 0)
    assert [(names(order), order.phases) for order in workers.orders] == [
        (["dense", "masked"], PHASES),
        (["dense"], (BACKWARD,)),
    ]
    assert {cell.status for cell in cells(record, "dense").values()} == {Status.OK}
    assert {cell.status for cell in cells(record, "masked").values()} == {status}
    assert cells(record, "masked")[FORWARD].reason == "it is gone in backward"
    record.measure(workers, 1)
    assert names(workers.orders[2]) == ["dense"]


def test_a_worker_that_is_lost_before_anybody_was_at_work_is_not_started_again():
    workers = Workers([lost(-1)])
    record = begun()
    record.measure(workers, 0)
    for name in ("dense", "masked"):
        found = cells(record, name)
        assert {cell.status for cell in found.values()} == {Status.ERROR}
        assert "in the harness" in found[FORWARD].reason
    record.measure(workers, 1)
    assert len(workers.orders) == 1


def test_a_workload_that_no_worker_lived_to_describe_keeps_what_needs_no_input():
    record = begun()
    record.workload = load_suite("networks").find("deepcnet-3-30-grid24-strokes-b2-ground")
    record.measure(Workers([lost(-1)]), 0)
    described = unit_of([record], 1.0).workload
    assert (described.axis, described.background) == ("grid size", Background.GROUND_STATE)
    assert described.version == record.workload.version()
    assert (described.suite, described.sites, described.grid_size) == ("quick", 0, ())


def test_who_failed_in_one_phase_is_measured_in_the_others_and_keeps_its_first_reason():
    failed = Failed("masked", (FORWARD,), Status.INCORRECT, "first")
    again = Failed("masked", (FORWARD,), Status.ERROR, "later")
    workers = Workers([*CHECKED, failed, *done(BACKWARD), again], [Done({})])
    record = begun()
    record.measure(workers, 0)
    record.measure(workers, 1)
    assert workers.orders[1].left_out == {"dense": (), "masked": (FORWARD,)}
    assert cells(record, "masked")[FORWARD].reason == "first"
    assert cells(record, "masked")[BACKWARD].status is Status.OK
    assert cells(record, "dense")[FORWARD].reason.startswith("not measured")


def test_who_failed_in_one_phase_and_ends_a_worker_in_another_keeps_its_first_reason():
    failed = Failed("masked", (FORWARD,), Status.INCORRECT, "first")
    end = lost(1, tuple(Phase).index(BACKWARD))
    record = begun()
    record.measure(Workers([*CHECKED, failed, PhaseDone(FORWARD), end], [Done({})]), 0)
    found = cells(record, "masked")
    assert (found[FORWARD].status, found[FORWARD].reason) == (Status.INCORRECT, "first")
    assert (found[BACKWARD].status, found[BACKWARD].reason) == (
        Status.ERROR,
        "it is gone in backward",
    )


def test_who_dies_with_its_template_is_not_blamed_and_goes_on_in_another_worker():
    end = WorkerLostError("gone", -1, -1, silent=False, with_template=True)
    first = [*CHECKED, *done(FORWARD), end]
    workers = Workers(first, done(BACKWARD))
    record = begun()
    record.measure(workers, 0)
    assert workers.orders[1].phases == (BACKWARD,)
    assert workers.orders[1].implementations == workers.orders[0].implementations
    assert {cell.status for cell in record.cells()} == {Status.OK}


def test_later_processes_are_told_what_the_first_has_found():
    first = [*CHECKED, measured("dense", FORWARD, samples=(4_000, 4_400, 4_800), calls=4)]
    workers = Workers(first, [Done({})])
    record = begun()
    record.measure(workers, 0)
    record.measure(workers, 1)
    before, after = workers.orders
    assert (before.known_ns, before.verified) == ({}, ())
    assert after.known_ns == {"dense": {FORWARD: 1_100}}
    assert after.verified == ("dense", "masked")
    assert (before.process, after.process) == (0, 1)


@pytest.mark.parametrize(("processes", "path"), [(1, ""), (2, "kept")])
def test_what_is_expected_is_kept_where_another_process_will_read_it(processes, path):
    workers = Workers([Done({})])
    begun(processes).measure(workers, 0)
    assert workers.orders[0].expectation == path


def test_of_all_processes_the_largest_peak_counts_and_the_first_ones_layers():
    first = {"peak": 10, "layers": {"conv": 1.0}, "parts": {"rest": 2.0}, "instructions": 5}
    record = begun(3, ("dense",))
    workers = Workers(
        [*CHECKED[:1], measured("dense", FORWARD, 0, **first), Done({"timed": 1.0})],
        [measured("dense", FORWARD, 1, peak=20), Done({"timed": 2.0, "oracle": 1.0})],
        [measured("dense", FORWARD, 2), Done({})],
    )
    for process in range(3):
        record.measure(workers, process)
    cell = cells(record, "dense")[FORWARD]
    assert (cell.peak_bytes, cell.layers, cell.parts) == (20, {"conv": 1.0}, {"rest": 2.0})
    assert cell.instructions == 5
    assert [samples.process for samples in cell.timing.processes] == [0, 1, 2]
    other = begun(1, ("dense",))
    other.measure(Workers([Done({"timed": 4.0})]), 0)
    unit = unit_of([record, other], 9.0)
    assert unit.seconds == {"wall": 9.0, "timed": 7.0, "oracle": 1.0}
    assert len(unit.cells) == 4


def test_calls_are_agreed_to_last_equally_only_where_they_nearly_do():
    records = begun(), begun()
    for record, forward, backward in zip(records, (1_000, 1_400), (1_000, 1_600), strict=True):
        events = [
            measured("dense", *each)
            for each in ((FORWARD, 0, (forward,)), (BACKWARD, 0, (backward,)))
        ]
        record.measure(Workers(events), 0)
    records[0].agree_with(records[1])
    assert [record._known_durations()["dense"] for record in records] == [
        {FORWARD: 1_400, BACKWARD: 1_000},
        {FORWARD: 1_400, BACKWARD: 1_600},
    ]
