import math
import random
from dataclasses import replace

import pytest
import torch
from trainable import (
    ADAM,
    BrokenCorners,
    Corners,
    corners,
    curve,
    implementation,
    nothing,
    settings_of,
    training,
    with_everything,
)

from bench.background import Background
from bench.batch import SparseBatch
from bench.errors import DataError, UserError
from bench.results import accuracy
from bench.training import checkpoint as checkpoints
from bench.training import session
from bench.training.batches import LabelledBatch, ahead
from bench.training.faults import StoppedError
from bench.training.parity import compare
from bench.training.processes import Group
from bench.training.session import Job, check_resumed, check_target, train
from suites.networks.deepcnet import deep_cnet, rising_dropout

EXPERIMENTS = {"sgd": corners(), "adam": corners(ADAM), **with_everything()}


class KilledError(Exception):
    pass


def job(tmp_path, experiment=None, **changes):
    experiment = experiment or corners()
    settings = settings_of(experiment, **changes)
    name = settings.implementation
    return Job(experiment, implementation(name), settings, tmp_path / "run.json", ("train", "x"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_training_killed_at_a_random_step_goes_on_to_the_same_curve(name, tmp_path):
    experiment = EXPERIMENTS[name]
    whole = training(experiment)
    whole.run(nothing, nothing)

    total = whole.steps * experiment.schedule.epochs
    last = random.Random(name).randint(1, total - 1)  # noqa: S311
    killed = training(experiment)
    path = tmp_path / "a.checkpoint"

    def kill(report):
        checkpoints.save(killed.checkpoint(()), path)
        if report.done == last:
            raise KilledError

    with pytest.raises(KilledError):
        killed.run(kill, nothing)
    torch.manual_seed(99)  # the state of torch's own generator may not matter
    resumed = training(experiment)
    resumed.restore(checkpoints.load(path))
    assert resumed.progress.step + len(resumed.progress.epochs) * resumed.steps == last
    resumed.run(nothing, nothing)

    assert curve(resumed.progress.epochs) == curve(whole.progress.epochs)
    assert resumed.progress.first_losses == whole.progress.first_losses
    assert resumed.weights_digest() == whole.weights_digest()


def test_the_seed_decides_the_curve():
    first, same, other = (training(corners(), seed=seed) for seed in (1, 1, 2))
    losses = [each.first_steps(3) for each in (first, same, other)]
    assert losses[0] == losses[1] != losses[2]


def test_what_can_be_learnt_is_learnt():
    trained = training(corners(ADAM), epochs=12)
    trained.run(nothing, nothing)
    assert trained.progress.epochs[-1].test_error < 0.2
    assert trained.progress.epochs[0].test_error > trained.progress.epochs[-1].test_error


def test_batches_made_ahead_are_the_same_batches_in_the_same_order():
    def make(step):
        return LabelledBatch(None, torch.tensor([step]))

    made = [list(ahead(make, range(3, 20), loaders)) for loaders in (0, 1, 4)]
    assert [[int(each.labels) for each in one] for one in made] == [list(range(3, 20))] * 3


def test_a_loss_that_is_no_number_stops_and_names_step_and_last_good_checkpoint(
    tmp_path, monkeypatch
):
    steps = []
    planned = replace(job(tmp_path), checkpoint_seconds=0.0)
    original = session.Training.checkpoint

    def spoil(self, command):
        made = original(self, command)
        steps.append((len(self.progress.epochs), self.progress.step))
        if steps[-1] == (0, 4):  # after this was saved, the weights go astray
            next(self.model.parameters()).data.fill_(math.nan)
        return made

    monkeypatch.setattr(session.Training, "checkpoint", spoil)
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda made, path: (saved.append(path), path.touch()))
    with pytest.raises(UserError, match="the loss is nan in epoch 1, step 5; the last good"):
        train(planned, Group(), nothing)
    assert len(saved) == 4
    assert not planned.target.exists()


def test_weights_that_are_no_numbers_never_get_into_a_checkpoint():
    trained = training(corners())
    next(trained.model.parameters()).data.fill_(math.inf)
    with pytest.raises(StoppedError, match="a weight is infinite or NaN"):
        trained.checkpoint(())


def test_a_training_leaves_a_run_file_that_says_everything_and_is_written_once(tmp_path):
    planned = job(tmp_path, replace(corners(), also_tested=(("many", Corners(12, 80)),)))
    run = train(planned, Group(), nothing)
    assert accuracy.load(planned.target) == run
    assert run.checkpoint_sha256 == checkpoints.digest(planned.checkpoint)
    assert run.settings == planned.settings
    assert run.command == ("train", "x")
    assert len(run.first_losses) == 2 * 6
    assert run.parameters == sum(weight.numel() for weight in deep_cnet_weights())
    assert run.seconds_to(100.0) == run.epochs[0].train_seconds
    assert run.seconds_to(-1.0) is None
    assert set(run.also_tested) == {"many"}
    assert run.error_percent == 100 * run.epochs[-1].test_error
    with pytest.raises(UserError, match="written once"):
        check_target(planned)
    planned.target.unlink()
    with pytest.raises(UserError, match="--resume"):
        check_target(planned)


def test_broken_samples_that_are_left_out_are_told_once_and_stay_in_the_run_file(tmp_path):
    experiment = corners(source=BrokenCorners())
    planned, told = job(tmp_path, experiment, skip_broken=True), []
    train(planned, Group(), nothing, tell_left_out=told.append)
    names = ("a", "b", "c", "d", "e", "f\x1b")
    assert told == [names]
    assert accuracy.load(planned.target).left_out == names
    whole = job(tmp_path / "whole", experiment)
    assert train(whole, Group(), nothing, tell_left_out=told.append).left_out == ()
    assert len(told) == 1


def deep_cnet_weights():
    return training(corners()).model.weights_in_torch_layout().values()


def test_a_checkpoint_of_another_version_is_refused():
    experiment = corners()
    settings = settings_of(experiment)
    check_resumed(settings, experiment, implementation(), Group())
    for changed in ({"version": "0"}, {"implementation_version": "0"}, {"processes": 2}):
        with pytest.raises(UserError, match="the checkpoint is of"):
            check_resumed(replace(settings, **changed), experiment, implementation(), Group())


def test_a_checkpoint_of_another_network_is_refused():
    saved = training(corners()).checkpoint(())
    with pytest.raises(DataError, match="does not fit"):
        training(corners(network=deep_cnet(2, 5, 4))).restore(saved)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"PK\x03\x04 broken", b"\x80", None, {"format": "other"}, {"x": print}]
)
def test_what_is_no_checkpoint_is_one_line(content, tmp_path):
    path = tmp_path / "x.checkpoint"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(DataError) as caught:
        checkpoints.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_a_checkpoint_that_was_cut_off_is_one_line(tmp_path):
    path = tmp_path / "x.checkpoint"
    checkpoints.save(training(corners()).checkpoint(()), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="not a checkpoint, or is damaged"):
        checkpoints.load(path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "x.checkpoint"
    checkpoints.save(training(corners()).checkpoint(()), path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        checkpoints.save(training(corners(ADAM)).checkpoint(()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_who_cannot_compute_the_network_says_why(monkeypatch):
    monkeypatch.setattr(type(implementation()), "unsupported", lambda *_: "no such numbers")
    with pytest.raises(UserError, match="gather cannot train corners: layer 'conv1': no such numb"):
        training(corners())


def test_who_has_no_gradients_is_not_trained():
    trained = training(corners())
    next(trained.model.parameters()).requires_grad_(requires_grad=False)
    with pytest.raises(UserError, match="gather gives no gradients"):
        trained.first_steps(1)


def test_processes_must_share_a_batch_evenly():
    experiment = corners()
    settings = settings_of(experiment)
    with pytest.raises(UserError, match="3 processes cannot share evenly"):
        session.Training(experiment, implementation(), settings, Group(0, 3))


@pytest.mark.parametrize("name", ["gather", "masked"])
def test_sparse_learns_as_dense_does_step_by_step(name):
    experiment = corners(network=deep_cnet(2, 3, 4, dropout=rising_dropout(2)))
    reference, other = compare(
        experiment, [implementation("dense"), implementation(name)], steps=12
    )
    assert reference.difference == 0
    assert other.agrees
    assert other.difference < 1e-9
    assert len(other.losses) == 6  # of one epoch


def test_who_computes_something_else_does_not_learn_alike(monkeypatch):
    astray = implementation("gather")
    original = type(astray).encode
    monkeypatch.setattr(
        type(astray),
        "encode",
        lambda self, batch: original(self, batch.with_features(batch.features * 1.0001)),
    )
    _, other = compare(corners(), [implementation("dense"), astray])
    assert not other.agrees
    assert 1 <= other.step <= 6


def test_the_ground_state_reaches_samples_without_any_ink():
    experiment = corners(background=Background.GROUND_STATE)
    blank = SparseBatch(torch.tensor([[1, 3, 3]], dtype=torch.int32), torch.ones(1, 1), 3, (12, 12))
    outputs = []
    for name in ("dense", "gather"):
        model = training(experiment, name).model.eval()
        for parameter, _, bias in model.network.leaves():
            if parameter.endswith(".bias"):
                torch.nn.init.constant_(bias, 0.3)
        outputs.append(model(blank))
    assert torch.allclose(*outputs, atol=1e-6)
    assert torch.equal(outputs[1][0], outputs[1][2])
    assert outputs[1][0].abs().max() > 0
