from dataclasses import replace

import pytest
from stored_runs import OK, SAMPLES, run, unit

from bench.results.schema import (
    GpuConditions,
    Samples,
    Status,
    Timing,
)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_a_cell_that_is_not_ok_holds_no_time_and_gives_a_reason(status):
    with pytest.raises(ValueError, match=f"status {status}"):
        replace(OK, status=status, reason="why")
    with pytest.raises(ValueError, match="must give a reason"):
        replace(OK, status=status, timing=None)
    assert replace(OK, status=status, timing=None, reason="why").timing is None


def test_a_cell_that_is_ok_holds_a_time_and_says_how_it_was_verified():
    with pytest.raises(ValueError, match="timing False"):
        replace(OK, timing=None)
    with pytest.raises(ValueError, match="how it was verified"):
        replace(OK, verified="")


def test_samples_need_calls_rounds_and_a_sample_in_each():
    for fields in (
        {"calls": 0},
        {"calls": -1},
        {"rounds": ()},
        {"rounds": ((),)},
        {"rounds": ((5,), ())},
    ):
        with pytest.raises(ValueError, match="at least one call, one round"):
            replace(SAMPLES, **fields)


@pytest.mark.parametrize(
    "rounds",
    [
        ((0,),),
        ((5, -1),),
        pytest.param(((5,), (0,))),
    ],
    ids=str,
)
def test_durations_are_positive(rounds):
    with pytest.raises(ValueError, match="durations must be positive"):
        Samples(0, 1, rounds)


def test_a_timing_needs_a_process():
    with pytest.raises(ValueError, match="at least one process"):
        Timing("clock", ())


def test_a_run_lists_its_cells_in_order_and_each_workload_once():
    whole = run(unit("w0"), unit("w1"), unit("w0", dtype="bfloat16"))
    assert [cell.workload for cell in whole.cells] == ["w0", "w0", "w1", "w1", "w0", "w0"]
    assert [workload.name for workload in whole.workloads] == ["w0", "w1"]


def test_what_was_seen_of_a_gpu_later_is_added_and_its_heat_ends_as_it_then_did():
    first = GpuConditions(5, (1500, 1900), (60, 70), {"heat": 2})
    later = GpuConditions(3, (1700, 1800), (55, 50), {"heat": 1, "power": 3})
    assert first.followed_by(later) == GpuConditions(
        8, (1500, 1900), (60, 50), {"heat": 3, "power": 3}
    )
    untold = GpuConditions(1, None, None, {})
    assert untold.followed_by(untold) == GpuConditions(2, None, None, {})


def test_workloads_of_two_suites_that_share_a_name_are_two():
    both = run(unit(suite="quick"), unit(suite="layers"), unit(suite="quick"))
    assert [each.suite for each in both.workloads] == ["quick", "layers"]
