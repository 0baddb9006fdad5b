"""What an implementation raises while it trains is one line; what is ours stays a traceback."""

from dataclasses import replace

import pytest
import torch
from trainable import Corners, corners, implementation, nothing, settings_of, training

from bench.cli.main import main
from bench.errors import UserError
from bench.training.processes import Group
from bench.training.session import Job, train

STEPS, TESTS = 6, 3
"""Batches of an epoch of `corners`, and of its test."""
PLUG_IN = """
from impls.dense import Dense

class Sick(Dense):
    name = "sick"

    def {method}:
        raise RuntimeError("out of sorts\\nand more")
"""


@pytest.fixture
def job(tmp_path):
    experiment = corners(also_tested=(("many", Corners(12, 80)),))
    settings, target = settings_of(experiment), tmp_path / "run.json"
    return Job(experiment, implementation(), settings, target, ("train", "x"), 0.0)


@pytest.fixture
def fail_in(monkeypatch):
    """Have gather raise an exception in a call, from 1."""

    def plant(number, error, method="encode"):
        kind = type(implementation())
        original, calls = getattr(kind, method), []

        def failing(*arguments):
            calls.append(0)
            if len(calls) == number:
                raise error
            return original(*arguments)

        monkeypatch.setattr(kind, method, failing)

    return plant


def refusal(job):
    with pytest.raises(UserError) as caught:
        train(job, Group(), nothing)
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "when"),
    [
        (4, "in epoch 1, step 4"),
        (STEPS + 1, "in the test after epoch 1"),
        (STEPS + TESTS + 2, "in epoch 2, step 2"),
        (2 * (STEPS + TESTS) + 1, "in the test after epoch 2"),
    ],
)
def test_what_an_implementation_raises_names_it_the_step_the_place_and_the_checkpoint(
    call, when, job, fail_in
):
    fail_in(call, ValueError("no such luck\nat all"))
    told = refusal(job)
    assert told.startswith(f"gather failed {when}: ValueError: no such luck (test_faults.py:")
    assert told.endswith(f"); the last good checkpoint is {job.checkpoint}")
    assert "\n" not in told


def test_in_the_first_step_there_is_no_checkpoint_yet(job, fail_in):
    fail_in(1, KeyError("x"))
    told = refusal(job)
    assert told.startswith("gather failed in epoch 1, step 1: KeyError: 'x' (")
    assert told.endswith("; there was no checkpoint yet")


def test_the_way_back_is_an_implementations_too(job, monkeypatch):
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            return values.clone()

        @staticmethod
        def backward(context, gradient):
            raise ValueError("no way back")

    kind = type(implementation())
    decode = kind.decode

    def failing(self, native):
        found = decode(self, native)
        return found.with_features(Failing.apply(found.features))

    monkeypatch.setattr(kind, "decode", failing)
    told = refusal(job)
    assert told.startswith("gather failed in epoch 1, step 1: ValueError: no way back (test_faults")


def test_logits_of_too_few_classes_are_told(job, monkeypatch):
    kind = type(implementation())
    decode = kind.decode

    def narrow(self, native):
        found = decode(self, native)
        return found.with_features(found.features[:, :3])

    monkeypatch.setattr(kind, "decode", narrow)
    told = refusal(job)
    assert told.startswith(
        "gather failed in epoch 1, step 1: ValueError: its logits have the shape [8, 3], not [8, 4]"
    )


def test_weights_that_cannot_be_had_in_the_end_are_an_implementations_too(job, fail_in):
    fail_in(1, ValueError("no weights"), "torch_layout")
    assert refusal(job).startswith("gather failed when asked for its weights: ValueError: no weigh")


def test_what_building_raises_is_told(job, fail_in):
    fail_in(1, OSError("no licence"), "convolution")
    assert refusal(job).startswith("gather failed when its network was built: OSError: no licence")


def test_mistakes_and_interruptions_stay_as_they_are(job, fail_in):
    fail_in(2, UserError("a mistake"))
    assert refusal(job) == "a mistake"
    fail_in(2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(replace(job, target=job.target.with_name("other.json")), Group(), nothing)


def test_a_bug_outside_of_the_implementation_stays_a_traceback(monkeypatch):
    trained = training(corners())
    monkeypatch.setattr(type(trained.train_samples), "batch", lambda *_: {}["ours"])
    with pytest.raises(KeyError, match="ours"):
        trained.run(nothing, nothing)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("unavailable(self, device)", "cannot train on cpu: RuntimeError: out of sorts (plug_in.p"),
        ("unsupported(self, *_)", "failed when asked what it supports: RuntimeError: out of sorts"),
        ("prepare(self)", "failed when it was prepared: RuntimeError: out of sorts (plug_in.py:8)"),
        (
            "encode(self, batch)",
            "failed in epoch 1, step 1: RuntimeError: out of sorts (plug_in.py",
        ),
    ],
)
def test_a_plug_in_that_raises_is_one_line_and_exit_code_2(method, words, tmp_path, capsys):
    path = tmp_path / "plug_in.py"
    path.write_text(PLUG_IN.format(method=method))
    command = ["train", "digits-deepcnet-3-10", "--small", "--impl", str(path)]
    assert main([*command, "-o", str(tmp_path / "run.json")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
