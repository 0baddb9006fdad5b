import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import msgspec
import pytest
import torch
from threadpoolctl import threadpool_limits

from bench.background import Background
from bench.errors import UserError
from bench.implementation import ledger
from bench.measure import measurement as module
from bench.measure import pulse
from bench.measure.failures import status_of
from bench.measure.messages import Checked, Described, Done, Failed, Measured, Task
from bench.measure.pulse import NOBODY, Pulse
from bench.network import INPUT, Layer, Network, single
from bench.operators import Add, BatchNorm, Rectifier, convolution
from bench.phases import Phase
from bench.plugins.implementations import choose, load
from bench.plugins.installed import Reference
from bench.results.schema import Status
from bench.workload import NOT_DEFINING, Suite, Workload
from suites.patterns import Uniform
from tests.plugins.tuning import SECONDS

PARALLEL = str(Path(__file__).parents[2] / "plugins" / "parallel.py")
VALID = Network((Layer("conv", convolution(2, "full", 3, 4, 3)), Layer("relu", Rectifier())))


@pytest.fixture
def measurement(monkeypatch, tmp_path):
    """Make the measurement of a workload in this process, and what it tells."""
    opened = []

    def make(workload, process=0, names=("gather", "dense"), **more):
        suite = Suite("mine", "for this test", lambda: (workload,))
        monkeypatch.setattr(module, "known_suite", lambda _: suite)
        pulse = tmp_path / "pulse"
        Pulse.create(pulse).close()
        task = Task(
            suite="mine",
            workload=workload.name,
            version=workload.version(),
            implementations=tuple(choose(list(names))[0]),
            dtype="float32",
            device="cpu",
            phases=(Phase.FORWARD, Phase.TRAIN_STEP),
            process=process,
            seconds=0.01,
            precision=0.005,
            seed=0,
            pulse=str(pulse),
            log=str(tmp_path / "log"),
            **{"threads": 1} | more,
        )
        told = []
        opened.append(module.Measurement(task, told.append))
        return opened[-1], told

    yield make
    for each in opened:
        each.pulse.close()


@pytest.mark.parametrize(
    ("network", "channels", "grid", "words"),
    [
        (VALID, 2, (8, 8), "layer 'conv': its input has 2 channels, and it expects 3"),
        (VALID, 3, (2, 8), r"layer 'conv': grid size \(2, 8\) is too small on axis 0"),
        (
            Network((Layer("norm", BatchNorm(3)),)),
            3,
            (1, 1),
            "layer 'norm': a batch norm trains on two active sites or more, and gets 1",
        ),
    ],
    ids=["channels", "grid", "norm"],
)
def test_what_a_network_cannot_take_is_said_with_the_workload_and_the_layer(
    network, channels, grid, words, measurement
):
    workload = Workload("mine", network, Uniform(grid, 1, 1.0), channels)
    with pytest.raises(UserError, match=f"workload 'mine': {words}"):
        measurement(workload)[0].run()


@dataclass(frozen=True)
class FromASensor:
    """An input that a suite of somebody's own makes, or fails to make."""

    made: object = field(metadata=NOT_DEFINING)
    version: ClassVar[int] = 1

    def batch(self, channels, seed):
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (ValueError("no such sensor"), r"cannot be made: ValueError: no such sensor \(test_meas"),
        (RuntimeError("no such shape"), r"cannot be made: RuntimeError: no such shape \(test_meas"),
        (None, r"batch\(\) returns a NoneType, no SparseBatch"),
    ],
)
def test_an_input_that_cannot_be_made_is_its_suites_fault_and_no_implementations(
    made, words, measurement
):
    with pytest.raises(UserError, match=f"workload 'mine': its input('s)? {words}"):
        measurement(Workload("mine", VALID, FromASensor(made), 3))[0].run()


def test_an_input_that_memory_is_too_short_for_is_told_as_that(measurement):
    subject, told = measurement(Workload("mine", VALID, FromASensor(MemoryError("no room")), 3))
    subject.run()
    assert {event.status for event in told if isinstance(event, Failed)} == {Status.OUT_OF_MEMORY}


def test_layers_that_are_joined_must_have_the_same_sites(measurement):
    wide = convolution(2, "full", 3, 3, 3, padding=1)
    network = Network((Layer("wide", wide), Layer("both", Add(), ("wide", INPUT))))
    subject, _ = measurement(Workload("mine", network, Uniform((8, 8), 1, 0.1), 3))
    with pytest.raises(UserError, match="layer 'both': it joins layers that are active at differ"):
        subject.run()
    everywhere = Workload("mine", network, Uniform((8, 8), 1, 1.0), 3)
    measurement(everywhere)[0].run()


@pytest.mark.parametrize("background", Background)
def test_a_workload_is_measured_in_its_background_mode(background, measurement):
    workload = Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3, background=background)
    subject, told = measurement(workload)
    subject.run()
    (described,) = (event for event in told if isinstance(event, Described))
    assert described.record.background is background
    measured = {(e.implementation, e.phase) for e in told if isinstance(e, Measured)}
    assert measured == {
        (name, phase) for name in ("gather", "dense") for phase in (Phase.FORWARD, Phase.TRAIN_STEP)
    }


def test_who_computes_in_threads_of_its_own_is_left_out_where_one_was_asked_for(measurement):
    workload = Workload("mine", single(convolution(2, "full", 3, 4, 3)), Uniform((8, 8), 1, 0.5), 3)
    subject, told = measurement(workload, names=("gather", PARALLEL))
    subject.run()
    failed = {event.phases: event for event in told if isinstance(event, Failed)}
    assert set(failed) == {(Phase.FORWARD,), (Phase.TRAIN_STEP,)}
    for event in failed.values():
        assert (event.implementation, event.status) == ("parallel", Status.INCORRECT)
        assert "it computes in threads of its own" in event.reason
    assert {e.implementation for e in told if isinstance(e, Measured)} == {"gather"}
    subject, told = measurement(workload, names=(PARALLEL,), threads=2)
    with threadpool_limits(1):  # which puts back what the run sets
        subject.run()
    assert not any(isinstance(event, Failed) for event in told)


@pytest.mark.parametrize("process", [0, 1])
def test_layers_are_timed_in_the_first_process_only(process, measurement):
    subject, told = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3), process)
    subject.run()
    layers = {e.phase: e.layers for e in told if isinstance(e, Measured)}
    assert list(layers[Phase.FORWARD]) == ([] if process else ["conv", "relu"])
    assert not any(e.parts for e in told if isinstance(e, Measured))
    assert layers[Phase.TRAIN_STEP] == {}


@pytest.mark.parametrize("process", [0, 1])
def test_parts_of_a_single_operator_are_timed_in_the_first_process(measurement, process):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    subject, told = measurement(Workload("mine", network, Uniform((8, 8), 2, 0.2), 3), process)
    subject.run()
    parts = {(e.implementation, e.phase): e.parts for e in told if isinstance(e, Measured)}
    wanted = [] if process else ["gather", "scatter", "rest"]
    assert list(parts["gather", Phase.FORWARD]) == wanted
    assert all(nanoseconds >= 0 for nanoseconds in parts["gather", Phase.FORWARD].values())
    assert parts["dense", Phase.FORWARD] == parts["gather", Phase.TRAIN_STEP] == {}


PLUGINS = Path(__file__).parents[2] / "plugins"
WRONG, UNWILLING = PLUGINS / "wrong.py", PLUGINS / "unwilling.py"
TUNING, WRITING = PLUGINS / "tuning.py", PLUGINS / "writing.py"


def test_what_another_process_verified_is_checked_at_its_first_call_and_its_last_ones(measurement):
    network = single(convolution(2, "full", 3, 4, 3, bias=True))
    wrong = [each.name for each in choose([str(WRONG)])[0] if each.name != "remembers"]
    subject, told = measurement(
        Workload("mine", network, Uniform((8, 8), 2, 0.2), 3),
        process=1,
        names=(str(WRONG), "gather"),
        verified=(
            *wrong,
            "gather",
        ),  # that answers are remembered is found by the first process only
    )
    subject.run()
    assert not any(isinstance(event, Checked) for event in told)
    measured = {(e.implementation, e.phase) for e in told if isinstance(e, Measured)}
    assert measured == {
        ("gather", Phase.FORWARD),
        ("gather", Phase.TRAIN_STEP),
        ("wrong_gradient", Phase.FORWARD),  # its outputs are right
    }
    failed = {e.implementation: e.status for e in told if isinstance(e, Failed)}
    assert failed == dict.fromkeys((*wrong, "remembers"), Status.INCORRECT)


@pytest.mark.parametrize("process", [0, 1])
def test_who_writes_to_what_it_is_given_fails_alone(process, measurement):
    network = single(convolution(2, "full", 3, 4, 3, bias=True))
    subject, told = measurement(
        Workload("mine", network, Uniform((8, 8), 2, 0.2), 3),
        process=process,
        names=(str(WRITING), "gather", "dense"),
    )
    subject.run()
    failed = {(e.implementation, e.status) for e in told if isinstance(e, Failed)}
    assert failed == {(each.name, Status.INCORRECT) for each in choose([str(WRITING)])[0]}
    measured = {(e.implementation, e.phase) for e in told if isinstance(e, Measured)}
    assert measured == {
        ("gather", Phase.FORWARD),
        ("gather", Phase.TRAIN_STEP),
        ("dense", Phase.FORWARD),
        ("dense", Phase.TRAIN_STEP),
        ("writes_upstream", Phase.FORWARD),  # its outputs are right
    }


def test_who_raises_when_asked_about_phases_fails_alone(measurement):
    subject, told = measurement(
        Workload("mine", VALID, Uniform((8, 8), 2, 0.2), 3), names=("gather", str(UNWILLING))
    )
    subject.run()
    measured = [e.implementation for e in told if isinstance(e, Measured)]
    assert measured == ["gather", "gather"]
    failed = {(e.implementation, e.status, e.reason) for e in told if isinstance(e, Failed)}
    place = f"({UNWILLING.name}:"
    assert {(name, status, reason.split(place)[0]) for name, status, reason in failed} == {
        ("raises_when_asked", Status.ERROR, "RuntimeError: asked at the wrong moment "),
        ("raises_of_phases", Status.ERROR, "RuntimeError: no phases here "),
    }


@pytest.mark.parametrize("gone_first", [True, False])
def test_who_is_gone_fails_alone(measurement, monkeypatch, gone_first):
    gone = Reference("gone", "impls.nowhere:Gone")
    subject, told = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.2), 3))
    references = (*subject.task.implementations, gone)
    subject.task = msgspec.structs.replace(subject.task, implementations=references)
    monkeypatch.setattr(
        random.Random, "sample", lambda _, of, count: list(of)[:: -1 if gone_first else 1]
    )
    subject.run()
    assert {e.implementation for e in told if isinstance(e, Measured)} == {"gather", "dense"}
    (failed,) = [e for e in told if isinstance(e, Failed)]
    assert (failed.implementation, failed.status) == ("gone", Status.ERROR)
    assert "No module named 'impls.nowhere'" in failed.reason


@pytest.mark.parametrize(("process", "rehearses"), [(0, True), (1, False)])
def test_in_turns_only_the_first_process_rehearses_even_if_it_is_not_its_first_worker(
    measurement, monkeypatch, process, rehearses
):
    asked = []

    def run_rounds(race, **options):
        asked.append(options["rehearses"])
        race.contestants.clear()
        return "budget"

    monkeypatch.setattr(module, "run_rounds", run_rounds)
    known = {"known_ns": {"gather": {Phase.FORWARD: 1_000}}, "left_out": {"dense": tuple(Phase)}}
    subject, _ = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.2), 3), process, **known)
    subject.turns = SimpleNamespace(meet=lambda: None, wait=lambda: None)
    subject.run()
    assert asked == [rehearses] * 2


def test_orders_differ_between_workloads_types_processes_and_phases(measurement):
    def order(name="mine", of="", **more):
        subject, _ = measurement(Workload(name, VALID, Uniform((8, 8), 2, 0.2), 3))
        subject.task = msgspec.structs.replace(subject.task, **more)
        return tuple(subject._order(of).sample(range(12), 12))

    others = [
        order("yours"),
        order(dtype="float64"),
        order(process=1),
        order(seed=1),
        order(of=Phase.FORWARD),
    ]
    assert order() == order()
    assert len({order(), *others}) == 6


def test_what_is_left_out_is_not_measured_and_did_not_fail(measurement):
    subject, told = measurement(
        Workload("mine", VALID, Uniform((8, 8), 2, 0.2), 3),
        left_out={"dense": (Phase.TRAIN_STEP,)},
    )
    subject.run()
    measured = {(e.implementation, e.phase) for e in told if isinstance(e, Measured)}
    assert measured == {
        ("gather", Phase.FORWARD),
        ("gather", Phase.TRAIN_STEP),
        ("dense", Phase.FORWARD),
    }
    assert not any(isinstance(event, Failed) for event in told)


def test_what_is_not_implemented_is_unsupported_and_no_error():
    status = status_of(NotImplementedError("no map for pooling"))
    assert status == (Status.UNSUPPORTED, "no map for pooling")
    assert status_of(RuntimeError("x"))[0] is Status.ERROR


def test_the_ledger_tells_of_who_raises_when_asked_about_phases():
    by_name = {each.name: each for each in choose([str(UNWILLING)])[0]}
    told = ledger(load(by_name["raises_of_phases"]))
    assert told["forward"] == "not timed: RuntimeError: no phases here"


@pytest.mark.parametrize("process", [0, 1])
def test_what_implementations_tune_takes_time_of_its_own(measurement, process):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    workload = Workload("mine", network, Uniform((8, 8), 2, 0.2), 3)
    subject, told = measurement(workload, process, ("gather", str(TUNING)))
    subject.run()
    assert {(e.implementation, e.phase) for e in told if isinstance(e, Measured)} == {
        ("gather", Phase.FORWARD),
        ("gather", Phase.TRAIN_STEP),
        ("tuning", Phase.FORWARD),
        ("tuning", Phase.TRAIN_STEP),
        ("untunable", Phase.FORWARD),
    }
    (failed,) = (e for e in told if isinstance(e, Failed))
    assert (failed.implementation, failed.status) == ("untunable", Status.ERROR)
    assert "nothing was measured" in failed.reason
    (done,) = (e for e in told if isinstance(e, Done))
    assert done.seconds["tuning"] >= 2 * SECONDS
    assert done.seconds["oracle"] > 0
    wall = done.seconds.keys() - {"processors"}
    assert sum(done.seconds[what] for what in wall) <= time.perf_counter() - subject.started


@pytest.mark.parametrize(("longest", "beats"), [(60.0, True), (0.0, False)])
def test_who_is_tuned_shows_signs_of_life_but_not_for_ever(
    measurement, monkeypatch, longest, beats
):
    monkeypatch.setattr(pulse, "BEAT_SECONDS", SECONDS / 10)
    monkeypatch.setattr(pulse, "LONGEST_SECONDS", longest)
    network = single(convolution(2, "submanifold", 3, 4, 3))
    workload = Workload("mine", network, Uniform((8, 8), 2, 0.2), 3)
    subject, _ = measurement(workload, 0, ("gather", str(TUNING)))
    main, others = threading.get_ident(), []

    def beat(implementation, phase):
        if threading.get_ident() != main:
            others.append((subject.task.implementations[implementation].name, phase))

    monkeypatch.setattr(subject.pulse, "beat", beat)
    subject.run()
    assert (("tuning", NOBODY) in others) is beats
    assert not {name for name, _ in others} & {"gather"}  # it has nothing to tune
    assert all(thread.name != "shows signs of life" for thread in threading.enumerate())


def test_the_oracle_shows_signs_of_life_while_it_takes_long(measurement, monkeypatch):
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.01)
    subject, _ = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3))
    expect, seen = module.expectation_of, []

    def slow(*arguments, **options):
        before = subject.pulse.read()[0]
        time.sleep(0.2)
        seen.append(subject.pulse.read()[0] - before)
        return expect(*arguments, **options)

    monkeypatch.setattr(module, "expectation_of", slow)
    subject.run()
    assert seen[0] > 1


def test_an_input_that_memory_does_not_hold_is_no_ones_fault(measurement, monkeypatch):
    def devours(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 40 GiB")

    monkeypatch.setattr(module, "operands", devours)
    subject, told = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3))
    subject.run()
    failed = [event for event in told if isinstance(event, Failed)]
    assert {event.implementation for event in failed} == {"gather", "dense"}
    assert {event.status for event in failed} == {Status.OUT_OF_MEMORY}
    assert failed[0].reason.startswith("for the input and what is expected of it: OutOfMemoryError")
    assert isinstance(told[-1], Done)


def test_nobody_is_blamed_for_what_comes_before_the_rounds(measurement, monkeypatch):
    subject, _ = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3))

    def timer_for(*_):
        raise RuntimeError(f"at work: {subject.pulse.read()[1:]}")

    monkeypatch.setattr(module, "timer_for", timer_for)
    with pytest.raises(RuntimeError, match=rf"at work: \({NOBODY}, {NOBODY}\)"):
        subject.run()


def test_work_that_the_clock_does_not_see_is_no_time(measurement, monkeypatch):
    hidden = {"gather": "it works on another stream"}
    monkeypatch.setattr(module, "hidden_work", lambda who, timer: hidden.get(who.name))
    subject, told = measurement(Workload("mine", VALID, Uniform((8, 8), 2, 0.1), 3))
    subject.run()
    assert {event.implementation for event in told if isinstance(event, Measured)} == {"dense"}
    failed = {(event.status, event.reason) for event in told if isinstance(event, Failed)}
    assert failed == {(Status.INCORRECT, "it works on another stream")}
