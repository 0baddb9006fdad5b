"""The choice by measuring, with a clock and kernels of the tests' own."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from bench.measure.timers import Duration
from bench.operators import convolution
from impls.cuda import choices, gpu_choices
from impls.cuda import measured as measured_module
from impls.cuda.choices import Choices
from impls.cuda.measured import ROUNDS, FatalShapeError, Measured, measure
from impls.cuda.shapes import Chooser
from tests.cuda_on_host.build import COMPILER
from tests.impls.cuda_pretended import FEW, RULE, WIDE, Pretended, PretendedTimer

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def unrehearsed(monkeypatch):
    """Nobody's clock has to rise."""
    monkeypatch.setattr("impls.cuda.measured.REHEARSAL_SECONDS", 0.0)


def test_the_rules_shape_runs_until_the_clock_is_up_before_anything_is_sampled(monkeypatch):
    monkeypatch.setattr("impls.cuda.measured.REHEARSAL_SECONDS", 0.01)
    timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 4001})
    measure(Pretended(), timer)
    rehearsed = timer.timed.index(WIDE)
    assert rehearsed > 1
    assert timer.timed[rehearsed:] == [WIDE, FEW] + [RULE, WIDE] * ROUNDS


def test_the_fastest_shape_is_chosen_and_the_times_are_kept():
    choice = measure(Pretended(), PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 2500}))
    assert choice.shape == str(WIDE)
    assert choice.microseconds == {str(RULE): 3.0, str(WIDE): 2.0, str(FEW): 2.5}
    assert choice.rejected == {}


def test_shapes_are_sampled_in_turn_and_hopeless_ones_once():
    timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 4001})
    measure(Pretended(), timer)
    assert timer.timed == [RULE, WIDE, FEW] + [RULE, WIDE] * ROUNDS


def test_all_shapes_are_compiled_before_one_runs_so_that_clocks_do_not_fall_between_samples():
    done = []

    class Noted(Pretended):
        def compile(self, shape):
            super().compile(shape)
            done.append("compiled")

        def run(self, shape):
            done.append("ran")
            return super().run(shape)

    measure(Noted(), PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 2500}))
    assert done[:4] == ["compiled"] * 3 + ["ran"]
    assert "compiled" not in done[4:]


def test_a_shape_that_does_not_compile_is_reported_and_never_tried():
    class Broken(Pretended):
        def compile(self, shape):
            if shape == WIDE:
                raise RuntimeError("too much shared memory")
            super().compile(shape)

    launch, trials = Broken(), []

    def trial(kernel, what):
        trials.append((kernel, what))
        return nullcontext()

    timer = PretendedTimer({RULE: 3000, FEW: 2500})
    with pytest.warns(RuntimeWarning, match="RuntimeError: too much shared memory"):
        assert measure(launch, timer, trial=trial).shape == str(FEW)
    assert WIDE not in launch.ran
    assert trials == [("convolution, float32, few channels", f"{launch.problem()}: {FEW}")]


def test_launches_that_take_long_are_sampled_in_fewer_rounds(monkeypatch):
    monkeypatch.setattr(measured_module, "SECONDS", 0)
    timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 4001})
    assert measure(Pretended(), timer).shape == str(WIDE)
    assert timer.timed == [RULE, WIDE, FEW, RULE, WIDE]


def test_the_median_counts_and_neither_the_first_sample_nor_one_that_was_disturbed():
    disturbed = [3900] + [2000] * (ROUNDS - 2) + [90000] * 2
    choice = measure(Pretended(), PretendedTimer({RULE: 3000, WIDE: disturbed, FEW: 3000}))
    assert choice.shape == str(WIDE)


def test_the_rules_shape_stays_where_another_saves_next_to_nothing():
    choice = measure(Pretended(), PretendedTimer({RULE: 3000, WIDE: 2970, FEW: 2990}))
    assert choice.shape == str(RULE)


@pytest.mark.parametrize(
    "result", [1.01, float("nan"), float("inf"), RuntimeError("no resources\n")]
)
def test_a_wrong_shape_is_never_chosen_never_timed_and_reported(result):
    timer = PretendedTimer({RULE: 3000, WIDE: 1, FEW: 2500})
    with pytest.warns(RuntimeWarning, match="not in the shape tiles 128x128") as told:
        choice = measure(Pretended({WIDE: result}), timer)
    assert len(told) == 1
    assert choice.shape == str(FEW)
    assert WIDE not in timer.timed
    words = "RuntimeError: no resources" if isinstance(result, Exception) else "in 8 of 8 values"
    assert words in choice.rejected[str(WIDE)]


def test_rounding_is_no_fault():
    timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 2500})
    assert measure(Pretended({WIDE: 1.0005}), timer).shape == str(WIDE)


@pytest.fixture
def measured(tmp_path):
    """Makes what a process has, with a clock by which wide tiles are fastest."""
    facts = {"gpu": "pretended"}

    def make():
        timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 2500})
        return Measured(lambda _: Choices(tmp_path, facts), lambda _: timer), timer

    return make


def test_rules_that_count_rows_are_asked_anew_for_every_launch_that_was_not_measured(measured):
    class Counting(Pretended):
        def rule(self):
            return WIDE if self.rows > 1000 else RULE

    chooser, _ = measured()
    few, many = Counting(rows=1000), Counting(rows=1020)
    assert few.problem() == many.problem()
    assert [chooser.choose(launch) for launch in (few, many, few)] == [RULE, WIDE, RULE]


def test_nothing_is_measured_until_it_is_asked_for(measured):
    chooser, timer = measured()
    launch = Pretended()
    assert chooser.choose(launch) == RULE
    assert launch.ran == timer.timed == []
    with chooser.measuring():
        assert chooser.choose(launch) == WIDE
    timer.timed.clear()
    assert chooser.choose(launch) == WIDE
    assert chooser.choose(Pretended(rows=10_000)) == RULE  # not measured
    assert timer.timed == []


def test_one_choice_serves_up_to_twice_as_many_rows(measured):
    chooser, timer = measured()
    with chooser.measuring():
        chooser.choose(Pretended(rows=512))
        timer.timed.clear()
        assert chooser.choose(Pretended(rows=1023)) == WIDE
        assert timer.timed == []
        chooser.choose(Pretended(rows=1024))
        assert timer.timed != []


@pytest.mark.parametrize("shape", [RULE, WIDE])
def test_where_memory_does_not_suffice_to_try_the_rules_decide(measured, tmp_path, shape):
    chooser, timer = measured()
    with chooser.measuring():
        assert chooser.choose(Pretended({shape: torch.OutOfMemoryError("full")})) == RULE
    assert set(timer.timed) <= {RULE}
    assert list(tmp_path.iterdir()) == []


def test_a_choice_serves_where_its_shape_launches_the_same_as_another(measured):
    first, _ = measured()
    with first.measuring():
        first.choose(Pretended())
    second, timer = measured()
    launch = Pretended(alike=(RULE, WIDE))
    assert launch.shapes() == [RULE, FEW]
    with second.measuring():
        assert second.choose(launch) == WIDE
    assert timer.timed == []


@pytest.fixture
def dies(monkeypatch):
    """Lets the GPU die: from then on, waiting for it raises."""

    def dead(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    return lambda: monkeypatch.setattr(torch.cuda, "synchronize", dead)


def test_a_kernel_that_kills_the_gpu_ends_the_process_and_is_never_tried_again(measured, dies):
    chooser, _ = measured()
    dies()
    wrong = Pretended({WIDE: RuntimeError("CUDA error")}, device=GPU)
    with chooser.measuring(), pytest.raises(FatalShapeError, match="tiles 128x128: CUDA error: an"):
        chooser.choose(wrong)
    assert wrong.ran[-1] == WIDE  # nothing else is launched, or found wrong, after that

    chooser, timer = measured()
    for channels in (16, 24):
        launch = Pretended({WIDE: RuntimeError("CUDA error")}, device=GPU, channels=channels)
        with chooser.measuring():
            assert chooser.choose(launch) == FEW
        assert WIDE not in launch.ran
    assert WIDE not in timer.timed


def test_a_kernel_that_kills_the_gpu_where_memory_gave_out_behind_it_is_found_out(measured, dies):
    chooser, _ = measured()
    dies()
    full = Pretended({WIDE: torch.OutOfMemoryError("full")}, device=GPU)
    with chooser.measuring(), pytest.raises(FatalShapeError):
        chooser.choose(full)


def test_a_kernel_that_kills_the_gpu_while_it_is_timed_is_never_tried_again(measured, dies):
    chooser, timer = measured()

    def time(call, arguments):
        if arguments == [WIDE]:
            raise RuntimeError("CUDA error")
        return Duration(1), call(*arguments)

    timer.time = time
    dies()
    with chooser.measuring(), pytest.raises(FatalShapeError):
        chooser.choose(Pretended(device=GPU))
    chooser, _ = measured()
    with chooser.measuring():
        assert chooser.choose(Pretended(device=GPU)) == FEW


def test_what_was_chosen_before_its_kernel_killed_a_gpu_is_not_chosen_any_more(measured, dies):
    first, _ = measured()
    with first.measuring():
        assert first.choose(Pretended(device=GPU)) == WIDE
        dies()
        with pytest.raises(FatalShapeError):
            first.choose(Pretended({WIDE: RuntimeError("CUDA error")}, device=GPU, channels=24))
    assert measured()[0].choose(Pretended(device=GPU)) == RULE


def test_what_fails_and_leaves_the_gpu_alive_is_rejected_only(measured, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    chooser, _ = measured()
    launch = Pretended({WIDE: RuntimeError("too many resources")}, device=GPU)
    with chooser.measuring(), pytest.warns(RuntimeWarning, match="too many resources"):
        assert chooser.choose(launch) == FEW


def test_no_rows_are_not_measured(measured):
    chooser, timer = measured()
    with chooser.measuring():
        assert chooser.choose(Pretended(rows=0)) == RULE
    assert timer.timed == []


def test_another_process_measures_nothing_again(measured):
    first, _ = measured()
    with first.measuring():
        first.choose(Pretended())
    second, timer = measured()
    assert second.choose(Pretended()) == WIDE
    with second.measuring():
        assert second.choose(Pretended()) == WIDE
    assert timer.timed == []


def test_a_shape_that_there_is_no_more_is_measured_anew(measured, tmp_path):
    first, _ = measured()
    with first.measuring():
        first.choose(Pretended())
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace('"shape": "tiles 128x128', '"shape": "tiles 9x9'))
    second, timer = measured()
    assert second.choose(Pretended()) == RULE
    assert timer.timed == []
    with second.measuring():
        assert second.choose(Pretended()) == WIDE


def test_a_gpus_choices_hold_for_its_name_its_driver_the_compiler_and_the_kernels(
    monkeypatch, tmp_path
):
    runtime = SimpleNamespace(driverGetVersion=lambda: 13000)
    nvrtc = SimpleNamespace(getVersion=lambda: (13, 2))
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime, nvrtc=nvrtc))
    monkeypatch.setattr(gpu_choices.importlib, "import_module", lambda _: cupy)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(gpu_choices, "gpu_facts", lambda _: {"gpu driver": "570.86.15"})
    facts = gpu_choices.choices_of(tmp_path, torch.device("cuda")).facts
    assert list(facts) == ["gpu", "driver", "compiler", "kernels"]
    assert facts["compiler"] == "NVRTC 13.2"
    assert (facts["gpu"], facts["driver"]) == ("NVIDIA H200", "570.86.15")
    monkeypatch.setattr(gpu_choices, "gpu_facts", lambda _: {})
    other = gpu_choices.choices_of(tmp_path, torch.device("cuda")).facts
    assert other["driver"] == "CUDA 13000"
    assert other["kernels"] == facts["kernels"]


class Backwards:
    """A clock by which every shape is faster than the one before."""

    def __init__(self):
        self.samples = 0
        self.known = {}

    def time(self, call, arguments):
        (shape,) = arguments
        self.samples += 1
        self.known.setdefault(shape, round(10_000 * 0.95 ** len(self.known)))
        return Duration(self.known[shape]), call(shape)


@pytest.fixture
def tuned(on_host, tmp_path, monkeypatch, random_batch):
    """Makes the implementation on the host, its clock, and one pass forward and backward."""
    monkeypatch.setenv(choices.VARIABLE, str(tmp_path))
    operator = convolution(2, "submanifold", 33, 40, 3)
    batch = random_batch(channels=33, dtype=torch.float32)

    def make():
        subject, clock = on_host(), Backwards()
        subject.measured = lambda folder: Measured(
            lambda _: Choices(folder, {"gpu": "none"}), lambda _: clock
        )

        def call():
            torch.manual_seed(0)
            module = subject.convolution(operator, torch.randn(operator.weight_shape), None)
            features = batch.features.clone().requires_grad_()
            output = module(subject.encode(batch.with_features(features)))
            output.features.sum().backward()
            return output.features, features.grad, module.weight.grad

        return subject, clock, call

    return make


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
def test_the_implementation_measures_while_it_is_tuned_and_uses_it_afterwards(tuned, tmp_path):
    subject, clock, call = tuned()
    by_rule = call()
    assert clock.samples == 0
    subject.tune(call)
    assert clock.samples > 0
    (path,) = tmp_path.iterdir()
    problems = json.loads(path.read_text())["choices"]
    assert {problem.split(",")[0] for problem in problems} == {
        "convolution",
        "gradient at the input",
        "gradient at the weights",
    }
    clock.samples = 0
    subject.host.launched.clear()
    for found, wanted in zip(call(), by_rule, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert clock.samples == 0
    for problem in problems.values():
        assert problem["shape"] == min(problem["microseconds"], key=problem["microseconds"].get)

    another, clock, call = tuned()
    another.tune(call)
    assert clock.samples == 0


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")
def test_switched_off_the_rules_decide(tuned, monkeypatch):
    subject, clock, call = tuned()
    monkeypatch.setenv(choices.VARIABLE, choices.OFF)
    subject.tune(call)
    assert clock.samples == 0
    assert type(subject.chooser) is Chooser
