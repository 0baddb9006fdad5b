import pytest
import torch
from trainable import ADAM, corners, curve, implementation, nothing, training

from bench.errors import UserError
from bench.training import checkpoint as checkpoints
from bench.training.faults import StoppedError


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_layers_compute_in_half_and_weights_stay_whole(precision):
    seen = set()
    trained = training(corners(ADAM), "dense", precision=precision)
    for layer in trained.model.network.layers.values():
        layer.register_forward_hook(
            lambda _, __, output: seen.add(implementation("dense").features(output).dtype)
        )
    losses = trained.first_steps(4)
    assert getattr(torch, precision) in seen
    assert {weight.dtype for weight in trained.model.parameters()} == {torch.float32}
    whole = training(corners(ADAM), "dense").first_steps(4)
    assert losses != whole
    assert losses == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_mixed_training_goes_on_to_the_same_curve(precision, tmp_path):
    path = tmp_path / "a.checkpoint"
    whole = training(corners(ADAM), "dense", precision=precision)
    whole.run(nothing, nothing)
    begun = training(corners(ADAM), "dense", precision=precision)
    begun.first_steps(2)
    checkpoints.save(begun.checkpoint(()), path)
    resumed = training(corners(ADAM), "dense", precision=precision)
    resumed.restore(checkpoints.load(path))
    resumed.run(nothing, nothing)
    # The losses of the first steps are noted by `run` alone.
    assert curve(resumed.progress.epochs)[1:] == curve(whole.progress.epochs)[1:]
    assert resumed.weights_digest() == whole.weights_digest()


def test_gradients_of_float16_are_scaled_so_that_small_ones_are_not_lost():
    scaled = training(corners(), "dense", precision="float16")
    scaled.first_steps(1)
    assert scaled.checkpoint(()).scaler["scale"] > 1
    assert training(corners(), "dense").checkpoint(()).scaler == {}


def test_who_cannot_mix_says_so_in_one_line(monkeypatch):
    def lookup(*_):
        raise KeyError(torch.bfloat16)

    mixed = training(corners(), precision="bfloat16")
    monkeypatch.setattr(mixed.model.network, "compute", lookup)
    with pytest.raises(UserError, match="gather cannot compute corners in mixed precision: KeyErr"):
        mixed.first_steps(1)
    plain = training(corners())
    monkeypatch.setattr(plain.model.network, "compute", lookup)
    with pytest.raises(StoppedError, match="gather failed in epoch 1, step 1: KeyError"):
        plain.first_steps(1)
