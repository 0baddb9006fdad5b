"""The tool that measures sound implementations beside harmful ones: what it counts as a disturbance."""

from dataclasses import replace

from bench.phases import Phase
from bench.results.schema import Cell, Samples, Status, Timing, Work
from tools.harmful import HARMS, MOMENTS, USUAL_MOMENTS
from tools.harms import SOUND, disturbed, harmful


def cell(name, phase, nanoseconds):
    rounds = tuple((nanoseconds + 1_000 * number,) for number in range(20))
    return Cell(
        workload="w",
        workload_version="1",
        implementation=name,
        implementation_version="1",
        phase=phase,
        dtype="float32",
        device="cpu",
        status=Status.OK,
        verified="dense",
        work=Work(1, 1, 1),
        timing=Timing("perf_counter_ns", (Samples(0, 1, rounds, (), (), "budget"),)),
    )


class FakeRun:
    """What `disturbed` looks at."""

    def __init__(self, second, status=Status.OK):
        self.cells = [
            cell(SOUND[0], Phase.FORWARD, 1_000_000),
            cell(SOUND[1], Phase.FORWARD, second),
        ]
        self.cells += [replace(each, phase=Phase.BACKWARD) for each in self.cells]
        if status is not Status.OK:
            self.cells[1] = replace(self.cells[1], status=status, reason="boom", timing=None)


def test_every_harm_is_a_plug_in_at_each_of_its_moments():
    expected = {f"{harm}-{moment}" for harm in HARMS for moment in MOMENTS.get(harm, USUAL_MOMENTS)}
    assert {each.name for each in harmful(["*"])} == expected
    assert len(expected) >= 50


def test_the_same_times_are_no_disturbance_and_other_times_are():
    assert disturbed(FakeRun(2_000_000), FakeRun(2_000_000)) == []
    words = disturbed(FakeRun(2_000_000), FakeRun(3_000_000))
    assert [each.partition(":")[0] for each in words] == ["forward", "backward"]


def test_a_sound_one_without_times_is_disturbed():
    (words,) = disturbed(FakeRun(2_000_000), FakeRun(2_000_000, Status.TIMEOUT))
    assert words == f"{SOUND[1]} forward: timeout, boom"
