from dataclasses import replace

import numpy as np
import pytest
import torch
from trainable import ADAM, SGD, Corners, WholePictures, corners, training

from bench.errors import UserError
from bench.operators import Rectifier, Rule, convolution
from bench.training.batches import Stream, generator_of, order_of, seed_of, training_batch
from bench.training.experiment import Decay
from bench.training.processes import Group
from bench.training.weights import starting_weights
from suites.accuracy.experiments import find
from suites.networks.deepcnet import deep_cnet
from suites.networks.invariant import invariant_mnist
from suites.networks.stack import Stack
from suites.networks.vgg import assamese_vgg


def test_a_cosine_rises_during_the_warm_up_and_falls_to_nothing():
    schedule = replace(SGD, epochs=10, learning_rate=1.0, decay=Decay.COSINE, warm_up=0.2)
    rates = [schedule.rate(passed) for passed in (0, 1, 2, 6, 10)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_a_constant_rate_stays():
    assert {ADAM.rate(passed) for passed in (0, 1.5, 2)} == {0.01}


def test_a_schedule_of_other_length_falls_over_all_of_it():
    long, short = training(corners(), epochs=8), training(corners(), epochs=2)
    long.first_steps(1)
    short.first_steps(1)
    rates = [each.optimizer.param_groups[0]["lr"] for each in (long, short)]
    assert rates[0] == pytest.approx(0.05 * (0.5 / 6) / 0.8)
    assert rates[1] == pytest.approx(0.05 * (0.5 / 6) / 0.2)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 0}])
def test_a_schedule_without_epochs_or_samples_is_refused(wrong):
    with pytest.raises(UserError, match="at least 1 epoch"):
        replace(SGD, **wrong)


def test_a_network_must_end_in_the_classes_on_one_site():
    with pytest.raises(UserError, match="4 classes on a single site"):
        corners(network=deep_cnet(2, 3, 5))
    with pytest.raises(UserError, match="takes grid size"):
        corners(source=Corners(13))


def test_whatever_decides_what_is_learnt_changes_the_version_and_words_do_not():
    versions = {
        corners().version(),
        corners(ADAM).version(),
        corners(network=deep_cnet(2, 2, 4)).version(),
        corners(source=Corners(train_samples=40)).version(),
        corners(background="ground_state").version(),
    }
    assert len(versions) == 5
    assert corners(description="other words", implementation="dense").version() in versions


def test_every_sample_comes_once_an_epoch_in_an_order_of_its_own():
    samples = Corners().load(train=True)
    orders = [order_of(samples, seed, epoch) for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_processes_share_a_batch_out_and_draw_alike():
    samples = Corners().load(train=True)
    indices = np.arange(8)

    def part(rank, size):
        generator = generator_of(Stream.SAMPLES, 0, 1, 0)
        return training_batch(samples, indices, generator, Group(rank, size))

    whole, parts = part(0, 1), [part(rank, 2) for rank in (0, 1)]
    assert [each.batch.batch_size for each in parts] == [4, 4]
    for rank, each in enumerate(parts):
        assert torch.equal(each.labels, whole.labels[rank::2])
        assert torch.equal(each.batch.mask(), whole.batch.mask()[rank::2])


def test_seeds_of_different_uses_differ():
    numbers = [(0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1, 3)]
    seeds = {seed_of(stream, *each) for stream in Stream for each in numbers}
    assert len(seeds) == len(numbers) * len(Stream)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("schedule", [replace(each, weight_decay=0.1) for each in (ADAM, SGD)])
def test_where_all_sites_are_known_a_sparsity_invariant_network_learns_as_its_ordinary_twin(
    schedule,
):
    """Otherwise what is compared is how fast each learns, and not what it can learn."""

    def network(rule):
        stack = Stack()
        stack.add("conv", convolution(2, rule, 1, 3, 3))
        stack.add("relu", Rectifier())
        stack.add("conv", convolution(2, rule, 3, 2, 3))
        stack.add("relu", Rectifier())
        return stack.finish("classify", convolution(2, Rule.FULL, 2, 4, 8), (12, 12))

    source = WholePictures()
    losses = [
        training(
            corners(schedule, network=network(rule), source=source), "dense", dtype="float64"
        ).first_steps(6)
        for rule in (Rule.SPARSITY_INVARIANT, Rule.FULL)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[0][-1] / losses[0][0] - 1) > 0.01  # something was learnt


def test_only_sparsity_invariant_weights_are_enlarged_and_the_version_says_so():
    invariant, ordinary = invariant_mnist(), invariant_mnist(rule=Rule.FULL)
    large, plain = (starting_weights(each, 0, torch.float64) for each in (invariant, ordinary))
    assert torch.equal(large["conv1"].weight, 25 * plain["conv1"].weight)
    assert torch.equal(large["flat1"].weight, plain["flat1"].weight)
    definitions = [find(f"mnist-{kind}-70").definition() for kind in ("invariant", "ordinary")]
    assert definitions[0]["enlarged_weights"] == {"conv1": 25, "conv2": 25}
    assert "enlarged_weights" not in definitions[1]


def test_weights_of_another_gain_are_the_same_weights_scaled_and_another_version():
    network = deep_cnet(3, 4, 5)
    usual = starting_weights(network, 0, torch.float64)
    smaller = starting_weights(network, 0, torch.float64, gain=0.5)
    assert torch.equal(usual["conv2"].weight, 2 * smaller["conv2"].weight)
    experiment = find("mnist-deepcnet-5-10")
    assert "gain" not in experiment.definition()
    assert replace(experiment, gain=1.0).definition()["gain"] == 1.0
    assert replace(experiment, gain=1.0).version() != experiment.version()


def test_training_starts_from_weights_of_the_experiments_gain():
    trained = [training(corners(gain=gain)).model for gain in (2.0, 0.5)]
    usual, smaller = (each.weights_in_torch_layout()["conv2.weight"] for each in trained)
    assert torch.allclose(usual, 2 * smaller)


def test_weights_keep_the_size_of_values_from_layer_to_layer():
    weights = starting_weights(assamese_vgg(), 0, torch.float32)
    wide = weights["conv7"].weight
    fan_in = wide[0].numel()
    assert wide.square().mean().item() == pytest.approx(2 / fan_in, rel=0.2)
    assert torch.equal(weights["norm1"].weight, torch.ones(8))
    assert not weights["classify"].bias.any()
    again = starting_weights(assamese_vgg(), 0, torch.float64)["conv7"].weight
    assert torch.equal(again.float(), wide)
