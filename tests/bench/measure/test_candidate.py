"""What is timed of a network, and in which mode."""

import math

import pytest
import torch
from candidates import IMPLEMENTATIONS, call, candidate, every_implementation
from torch import nn

from bench.background import Background
from bench.measure.candidate import IncorrectError
from bench.measure.steps import step_of
from bench.network import INPUT, Layer, Network, single
from bench.operators import BatchNorm, Dropout, Linear, Rectifier, convolution, max_pooling
from bench.phases import Phase
from impls.dense import Dense
from impls.gather import Gather

TRAINED = Network(
    (
        Layer("conv", convolution(2, "submanifold", 3, 4, 3)),
        Layer("norm", BatchNorm(4)),
        Layer("relu", Rectifier()),
        Layer("dropout", Dropout(0.5)),
        Layer("last", convolution(2, "full", 4, 2, 3)),
    )
)
VALID = Network(
    (
        Layer("conv", convolution(2, "full", 3, 4, 3)),
        Layer("relu", Rectifier()),
        Layer("dropout", Dropout(0.5)),
        Layer("last", convolution(2, "full", 4, 2, 2)),
    )
)


@every_implementation
def test_training_uses_the_batchs_statistics_and_evaluation_does_not(implementation, random_batch):
    subject = candidate(implementation, TRAINED, random_batch())
    subject.verify_outputs()
    subject.verify_gradients()
    assert not torch.allclose(
        subject.expectation.output.values, subject.expectation.in_training.output.values
    )


@every_implementation
def test_timed_training_steps_change_nothing_that_is_checked(implementation, random_batch):
    subject = candidate(implementation, TRAINED, random_batch())
    step = step_of(subject, Phase.TRAIN_STEP)
    for _ in range(20):
        call(step)
    step.check(None)
    subject.verify_outputs()
    forward = step_of(subject, Phase.FORWARD)
    forward.check(call(forward))


def modules(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


@every_implementation
def test_dropout_is_timed_and_not_checked(implementation, random_batch):
    subject = candidate(implementation, TRAINED, random_batch())
    torch.manual_seed(0)
    step = step_of(subject, Phase.TRAIN_STEP)
    assert all(module.training for module in modules(subject.trained, nn.Dropout))
    first, second = call(step), call(step)
    assert not all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    step.check(None)
    assert not any(module.training for module in modules(subject.trained, nn.Dropout))
    assert not any(module.training for module in modules(subject.built, nn.Module))


class RecordsWhereItTrains(Gather):
    """Has a path for inference, which keeps nothing that gradients could be taken of."""

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)

        def forget(_, __, result):
            features = self.features(result)
            kept = features if module.training else features.detach()
            return self.with_features(result, kept)

        module.register_forward_hook(forget)
        return module


def test_gradients_of_a_single_operator_are_taken_in_training(random_batch):
    operator = convolution(2, "full", 3, 4, 3)
    subject = candidate(RecordsWhereItTrains(), single(operator), random_batch())
    subject.verify_outputs()
    subject.verify_gradients()
    for phase in (Phase.FORWARD, Phase.BACKWARD, Phase.TRAIN_STEP):
        step = step_of(subject, phase)
        step.check(call(step))
    assert not subject.built.training


@pytest.mark.parametrize("phase", [Phase.ENCODE, Phase.FORWARD_COLD, Phase.TRAIN_STEP])
def test_cold_calls_get_coordinates_that_were_never_seen_before(phase, random_batch):
    batch = random_batch()
    step = step_of(candidate(Gather(), TRAINED, batch), phase)
    arguments = [step.prepare() for _ in range(3)]
    seen = {each.coordinates.data_ptr() for each in (batch, *arguments)}
    assert len(seen) == 4
    assert all(torch.equal(each.coordinates, batch.coordinates) for each in arguments)


@every_implementation
def test_a_recorded_pass_has_dropout(implementation, random_batch):
    subject = candidate(implementation, TRAINED, random_batch())
    step = step_of(subject, Phase.BACKWARD)
    before = call(step)
    assert all(torch.equal(*pair) for pair in zip(before, call(step), strict=True))
    step.renew()  # drawn anew
    assert not all(torch.equal(*pair) for pair in zip(before, call(step), strict=True))


@every_implementation
def test_dropout_is_left_out_where_the_ground_state_is_kept(implementation, random_batch):
    subject = candidate(implementation, VALID, random_batch(), Background.GROUND_STATE)
    step = step_of(subject, Phase.TRAIN_STEP)
    assert not any(module.training for module in modules(subject.trained, nn.Dropout))
    for left, right in zip(call(step), call(step), strict=True):
        assert torch.equal(left, right)


WITHOUT_DROPOUT = Network(tuple(layer for layer in VALID.layers if layer.name != "dropout"))


@pytest.mark.parametrize("phase", [Phase.TRAIN_STEP, Phase.BACKWARD])
@pytest.mark.parametrize("background", Background)
def test_every_implementation_computes_the_same_gradients_in_a_timed_step(
    background, phase, random_batch
):
    batch = random_batch(density=0.1)
    found = []
    for implementation in IMPLEMENTATIONS:
        subject = candidate(implementation, WITHOUT_DROPOUT, batch, background)
        gradients = call(step_of(subject, phase))
        leaves = subject.built.leaves()
        found.append(
            {
                name: subject.built.torch_layout(name, operator, gradient)
                for (name, operator, _), gradient in zip(leaves, gradients, strict=True)
            }
        )
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, gradient in other.items():
            torch.testing.assert_close(gradient, found[0][name], rtol=1e-9, atol=1e-9)


def test_the_loss_of_a_training_step_sums_all_sites_of_the_output(random_batch):
    batch = random_batch(density=0.05)
    subject = candidate(Gather(), WITHOUT_DROPOUT, batch, Background.GROUND_STATE)
    gradients = call(step_of(subject, Phase.TRAIN_STEP))
    names = [name for name, _, _ in subject.built.leaves()]
    sites = batch.batch_size * math.prod(subject.expectation.grid_size)
    at_last_bias = gradients[names.index("last.bias")]
    assert at_last_bias.tolist() == [sites, sites]


def test_gradients_at_the_input_are_timed_for_a_single_operator_only(random_batch):
    batch = random_batch()
    operator = convolution(2, "submanifold", 3, 4, 3)
    assert len(call(step_of(candidate(Gather(), single(operator), batch), Phase.TRAIN_STEP))) == 3
    whole = candidate(Gather(), TRAINED, batch)
    assert len(call(step_of(whole, Phase.TRAIN_STEP))) == len(whole.trained.leaves()) == 6
    pooling = Network((Layer("pool", max_pooling(2, 2, 2)), Layer("relu", Rectifier())))
    assert len(call(step_of(candidate(Gather(), pooling, batch), Phase.TRAIN_STEP))) == 1


def test_a_network_is_built_once_more_only_where_gradients_are_taken(random_batch, monkeypatch):
    built = []
    usual = Gather.convolution
    monkeypatch.setattr(Gather, "convolution", lambda *each: built.append(1) or usual(*each))
    subject = candidate(Gather(), WITHOUT_DROPOUT, random_batch())
    subject.verify_outputs()
    assert len(built) == 2  # layers
    subject.verify_gradients()
    step_of(subject, Phase.TRAIN_STEP)
    assert len(built) == 4


class NormOverTheGrid(Dense):
    """Batch norm over all sites of the grid: what a dense network does."""

    name = "norm_over_the_grid"

    def pointwise(self, operator, weight, bias):
        module = super().pointwise(operator, weight, bias)
        if isinstance(operator, BatchNorm):
            norm = nn.BatchNorm2d(operator.channels)
            norm.weight, norm.bias = nn.Parameter(weight), nn.Parameter(bias)
            module.inner = norm
            module.forward = lambda native: self.with_features(native, norm(native.values))
        return module


def test_a_batch_norm_over_inactive_sites_is_found(random_batch):
    subject = candidate(NormOverTheGrid(), Network(TRAINED.layers[:2]), random_batch())
    with pytest.raises(IncorrectError, match="output"):
        subject.verify_gradients()


class LosesWeights(Gather):
    """Forgets a batch norm's own weight and bias."""

    name = "loses_weights"

    def pointwise(self, operator, weight, bias):
        if isinstance(operator, BatchNorm):
            weight, bias = torch.ones_like(weight), torch.zeros_like(bias)
        return super().pointwise(operator, weight, bias)


def test_a_batch_norm_without_its_weights_is_found(random_batch):
    with pytest.raises(IncorrectError, match="output is wrong"):
        candidate(LosesWeights(), TRAINED, random_batch()).verify_outputs()


@every_implementation
@pytest.mark.parametrize("background", Background)
def test_marks_name_every_layer_in_order_and_encode_first_when_cold(
    implementation, background, random_batch
):
    subject = candidate(implementation, VALID, random_batch(), background)
    layers = ["conv", "relu", "dropout", "last"]
    for phase in (Phase.FORWARD, Phase.FORWARD_COLD):
        step, seen = step_of(subject, phase), []
        answer = step.marked(step.prepare(), seen.append)
        step.check(answer)
        cold = phase is Phase.FORWARD_COLD and not implementation.starts_dense
        assert list(dict.fromkeys(seen)) == ["encode"] * cold + layers


def test_there_are_no_layers_to_mark_in_a_single_operator(random_batch):
    subject = candidate(Gather(), single(Linear(3, 2)), random_batch())
    assert step_of(subject, Phase.FORWARD).marked is None
    assert step_of(subject, Phase.FORWARD_COLD).marked is None


def test_a_network_that_reads_its_input_last_still_has_it(random_batch):
    network = Network(
        (
            Layer("conv", convolution(2, "submanifold", 3, 3, 3)),
            Layer("relu", Rectifier()),
            Layer("last", Linear(3, 2), (INPUT,)),
        )
    )
    candidate(Gather(), network, random_batch()).verify_outputs()


@every_implementation
def test_what_has_been_called_once_is_not_warmed_up_again(
    implementation, random_batch, monkeypatch
):
    subject = candidate(implementation, TRAINED, random_batch())
    subject.verify_first_call()
    calls = []
    answer = subject.built.answer
    monkeypatch.setattr(subject.built, "answer", lambda *of: calls.append(1) or answer(*of))
    step = step_of(subject, Phase.FORWARD)
    assert not calls
    step.renew()  # other memory, without maps
    assert len(calls) == 1
    step.check(call(step))


def test_a_first_call_is_checked_in_another_process_too(random_batch):
    subject = candidate(Gather(), TRAINED, random_batch())
    with torch.no_grad():
        next(iter(subject.built.leaves()))[2].add_(1)
    with pytest.raises(IncorrectError, match="first call in another process"):
        subject.verify_first_call()


class Watched(Gather):
    """Remembers which calls it was tuned by, and when natives were encoded."""

    name = "watched"

    def __init__(self):
        self.done = []

    def encode(self, batch):
        self.done.append("encode")
        return super().encode(batch)

    def tune(self, call):
        self.done.append("with gradients" if torch.is_grad_enabled() else "without gradients")
        call()
        self.done.append("tuned")


def test_an_implementation_is_tuned_by_what_will_be_timed_and_the_native_is_made_anew(random_batch):
    implementation = Watched()
    subject = candidate(implementation, WITHOUT_DROPOUT, random_batch())
    before = subject.native
    implementation.done.clear()
    subject.tune_outputs()
    assert implementation.done == ["without gradients", "encode", "tuned", "encode"]
    assert subject.native is not before
    implementation.done.clear()
    subject.tune_gradients()
    assert implementation.done == ["with gradients", "encode", "tuned"]
    subject.verify_outputs()
    subject.verify_gradients()


def test_phases_do_not_tune(random_batch):
    implementation = Watched()
    subject = candidate(implementation, WITHOUT_DROPOUT, random_batch())
    for phase in (Phase.FORWARD, Phase.FORWARD_COLD, Phase.BACKWARD, Phase.TRAIN_STEP):
        call(step_of(subject, phase))
    assert set(implementation.done) == {"encode"}


def test_who_has_nothing_to_tune_keeps_its_native(random_batch):
    subject = candidate(Gather(), WITHOUT_DROPOUT, random_batch())
    before = subject.native
    subject.tune_outputs()
    subject.tune_gradients()
    assert subject.native is before


class PullsBackTwiceAsMuch(Gather):
    """Returns right outputs, and gradients that are right until it is told otherwise."""

    is_wrong = False

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        inner = module.forward

        def forward(native):
            result = inner(native)
            if self.is_wrong and result.features.requires_grad:
                result.features.register_hook(lambda upstream: 2 * upstream)
            return result

        module.forward = forward
        return module


def test_a_wrong_gradient_is_found_before_and_after_the_rounds(random_batch):
    implementation = PullsBackTwiceAsMuch()
    operator = convolution(2, "submanifold", 3, 4, 3)
    subject = candidate(implementation, single(operator), random_batch())
    subject.verify_gradients()
    step = step_of(subject, Phase.BACKWARD)
    last = call(step)
    implementation.is_wrong = True
    for check in (subject.verify_gradients, lambda: step.check(last)):
        with pytest.raises(IncorrectError, match="gradient at input is wrong"):
            check()


def test_in_another_process_an_input_that_is_encoded_wrongly_is_found(random_batch):
    subject = candidate(Gather(), single(convolution(2, "submanifold", 3, 4, 3)), random_batch())
    subject.verify_first_call()
    subject.native = subject.implementation.with_features(
        subject.native, 2 * subject.implementation.features(subject.native)
    )
    with pytest.raises(IncorrectError, match="is not the batch"):
        subject.verify_first_call()


def test_a_value_at_an_inactive_site_of_a_grid_is_found(random_batch):
    subject = candidate(Dense(), single(convolution(2, "submanifold", 3, 4, 3)), random_batch())
    answer = subject.run(subject.native_handed_on())
    subject.check_answer(answer, "last timed call")
    grid = subject.implementation.features(answer.native)
    sample, row, column = (~subject.batch.mask()).squeeze(1).nonzero()[0].tolist()
    grid.data[sample, 1, row, column] = 0.5
    with pytest.raises(IncorrectError, match="last timed call: 1 inactive output sites"):
        subject.check_answer(answer, "last timed call")


def test_a_wrong_ground_state_beside_rows_is_found(random_batch):
    batch = random_batch((24, 24), density=0.02)
    subject = candidate(Gather(), VALID, batch, Background.GROUND_STATE)
    answer = subject.run(subject.native_handed_on())
    subject.check_answer(answer, "last timed call")
    wrong = answer._replace(background=answer.background + 0.5)
    with pytest.raises(IncorrectError, match="last timed call: ground state is wrong"):
        subject.check_answer(wrong, "last timed call")


def test_no_implementation_gets_hold_of_the_weights_of_others(random_batch):
    subject = candidate(Dense(), TRAINED, random_batch())
    for layer in subject.problem.weights.values():
        kept = layer.weight.clone()
        with torch.no_grad():
            for parameter in subject.built.parameters():
                parameter.data.neg_()
        assert torch.equal(layer.weight, kept)
