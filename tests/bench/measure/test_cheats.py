"""Who computes something else than it seems to, or at another time, is found out."""

import pytest
import torch
from candidates import IMPLEMENTATIONS, call, candidate, every_implementation

from bench.batch import SparseBatch
from bench.measure.candidate import IncorrectError
from bench.measure.steps import step_of
from bench.network import INPUT, Layer, Network, single
from bench.operators import Dropout, InverseConvolution, convolution
from bench.phases import Phase
from impls.gather import Gather


class KeepsOtherFeatures(Gather):
    """What it computes is right, and what it holds is not the batch."""

    def encode(self, batch):
        return super().encode(batch.with_features(1.5 * batch.features))

    def convolution(self, operator, weight, bias):
        return super().convolution(operator, weight / 1.5, bias)


class OtherGrid(Gather):
    """Gives back a batch on a larger grid, and convolves on the right one."""

    def decode(self, native):
        batch = super().decode(native)
        larger = tuple(size + 1 for size in batch.grid_size)
        return SparseBatch(batch.coordinates, batch.features, batch.batch_size, larger)


class WrongWhenCold(Gather):
    """Right for the first batch that it encodes."""

    def __init__(self):
        self.encoded = 0

    def encode(self, batch):
        self.encoded += 1
        wrong = batch.with_features(1.5 * batch.features)
        return super().encode(batch if self.encoded == 1 else wrong)


class WrongWithoutMaps(Gather):
    """Loses more than its maps."""

    def without_maps(self, native):
        kept = super().without_maps(native)
        return self.with_features(kept, 1.5 * self.features(kept))


class WrongWhenWarm(Gather):
    """Right at the first call."""

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        module.calls = 0
        inner = module.forward

        def forward(native):
            module.calls += 1
            result = inner(native)
            factor = 1.5 if module.calls == 2 else 1.0
            return self.with_features(result, factor * self.features(result))

        module.forward = forward
        return module


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (OtherGrid, r"decode\(encode\(batch\)\) is not the batch"),
        (KeepsOtherFeatures, r"decode\(encode\(batch\)\) is not the batch"),
        (WrongWhenCold, "cold call: "),
        (WrongWithoutMaps, "call without cached maps: "),
        (WrongWhenWarm, "second call: "),
    ],
)
def test_who_is_wrong_in_one_way_of_being_called_is_found(kind, words, random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    candidate(Gather(), network, random_batch()).verify_outputs()
    with pytest.raises(IncorrectError, match=f"^{words}"):
        candidate(kind(), network, random_batch()).verify_outputs()


class RemembersAnswers(Gather):
    """Computes once for features of an address and version."""

    def convolution(self, operator, weight, bias):
        module, answers = super().convolution(operator, weight, bias), {}
        inner = module.forward

        def forward(native):
            key = native.features.data_ptr(), native.features._version
            if key not in answers:
                answers[key] = native, inner(native)
            return answers[key][1]

        module.forward = forward
        return module


class RemembersMaps(Gather):
    """Builds the maps of a tensor's sites once."""

    def __init__(self, tensor):
        self.tensor = tensor
        self.sites = {}

    def encode(self, batch):
        native = super().encode(batch)
        place = getattr(batch, self.tensor).data_ptr()
        return native._replace(sites=self.sites.setdefault(place, native.sites))


class RemembersMapsInModules(Gather):
    """Builds a module's map at its first call, or once for each number of sites."""

    def __init__(self, tells_numbers):
        self.tells_numbers = tells_numbers

    def convolution(self, operator, weight, bias):
        module, sites = super().convolution(operator, weight, bias), {}
        inner = module.forward

        def forward(native):
            key = len(native.features) if self.tells_numbers else None
            return inner(native._replace(sites=sites.setdefault(key, native.sites)))

        module.forward = forward
        return module


@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        (RemembersAnswers(), "it remembers answers"),
        (RemembersMaps("features"), "it remembers maps"),
        (RemembersMaps("coordinates"), "it remembers maps"),
        (RemembersMapsInModules(tells_numbers=False), "it remembers maps"),
        (RemembersMapsInModules(tells_numbers=True), "it remembers maps"),
    ],
    ids=["answers", "maps-by-features", "maps-by-coordinates", "maps", "maps-by-number"],
)
def test_who_remembers_what_it_is_to_compute_is_found(implementation, words, random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    with pytest.raises(IncorrectError, match=words):
        candidate(implementation, network, random_batch()).verify_outputs()


@every_implementation
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
def test_who_maps_every_batch_anew_is_not_taken_for_one_that_remembers(
    implementation, density, random_batch
):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    candidate(implementation, network, random_batch(density=density)).verify_outputs()


LAYERS = (
    Layer("first", convolution(2, "submanifold", 3, 4, 3)),
    Layer("second", convolution(2, "submanifold", 4, 5, 3)),
)


DOWN = convolution(2, "full", 3, 4, 2, stride=2)
DOWN_AND_UP = (
    Layer("down", DOWN),
    Layer("up", InverseConvolution(4, 3, DOWN.window), ("down", INPUT)),
)


class RemembersInverses(Gather):
    """Keeps what an inverse convolution answers beside the target's kernel maps."""

    def inverse_convolution(self, operator, weight, bias):
        module = super().inverse_convolution(operator, weight, bias)
        inner = module.forward

        def forward(source, target):
            answers = target.sites.__dict__.setdefault("answers", {})
            if module not in answers:
                answers[module] = inner(source, target)
            return answers[module]

        module.forward = forward
        return module


def test_who_remembers_answers_within_a_network_is_found(random_batch):
    network = Network(DOWN_AND_UP)
    candidate(Gather(), network, random_batch()).verify_outputs()
    with pytest.raises(IncorrectError, match="it remembers answers"):
        candidate(RemembersInverses(), network, random_batch()).verify_outputs()


class HandsOutCopies(Gather):
    """Is right, and computes on another copy of the features than the one that it hands out."""

    def features(self, native):
        return super().features(native).clone()


def test_who_computes_on_a_copy_of_the_features_is_right(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    candidate(HandsOutCopies(), network, random_batch()).verify_outputs()


class PacksOnce(Gather):
    """Computes with a copy of the weights, or of the bias, that was made once for good."""

    def __init__(self, part):
        self.part = part

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        packed = super().convolution(operator, weight.clone(), bias.clone())
        other = "bias" if self.part == "weight" else "weight"
        setattr(packed, other, getattr(module, other))
        module.forward = packed.forward
        return module


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_who_computes_with_a_copy_of_the_weights_is_found(part, random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    words = f"{part} was changed in place, but the result stayed"
    with pytest.raises(IncorrectError, match=words):
        candidate(PacksOnce(part), network, random_batch()).verify_outputs()


class StartsDense(Gather):
    """Says that its users hold a dense tensor."""

    starts_dense = True


def test_who_starts_from_a_dense_tensor_holds_a_grid(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    with pytest.raises(IncorrectError, match="holds rows"):
        candidate(StartsDense(), network, random_batch())


class KeepsItsBuffer(Gather):
    """Writes every result of a module to the same memory, and hands out copies of it."""

    def decode(self, native):
        return super().decode(native._replace(features=native.features.clone()))

    def convolution(self, operator, weight, bias):
        module, buffers = super().convolution(operator, weight, bias), []
        inner = module.forward

        def forward(native):
            result = inner(native)
            if not buffers:
                buffers.append(result.features.detach().clone())
            return result._replace(features=buffers[0].copy_(result.features.detach()))

        module.forward = forward
        return module


@pytest.mark.parametrize("layers", [1, 2])
def test_who_writes_all_results_to_the_same_memory_is_found(layers, random_batch):
    subject = candidate(KeepsItsBuffer(), Network(LAYERS[:layers]), random_batch())
    with pytest.raises(IncorrectError, match="it writes all to the same memory"):
        subject.verify_outputs()


@every_implementation
def test_a_result_that_is_a_view_of_the_input_may_change_with_it(implementation, random_batch):
    candidate(implementation, single(Dropout(0.5)), random_batch()).verify_outputs()


@every_implementation
@pytest.mark.parametrize("rule", ["submanifold", "full"])
def test_a_site_that_has_the_same_result_elsewhere_is_right(implementation, rule):
    batch = SparseBatch(
        torch.tensor([[0, 3, 2]], dtype=torch.int32),
        torch.ones(1, 3, dtype=torch.float64),
        1,
        (8, 8),
    )
    network = single(convolution(2, rule, 3, 4, 3, padding=1))
    candidate(implementation, network, batch).verify_outputs()


class _Remembering(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        ctx.gradient = getattr(ctx, "gradient", None)
        if ctx.gradient is None:
            ctx.gradient = upstream.clone()
        return ctx.gradient


class RemembersGradients(Gather):
    """Pulls an upstream back once through every recorded pass."""

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        inner = module.forward

        def forward(native):
            result = inner(native)
            return result._replace(features=_Remembering.apply(result.features))

        module.forward = forward
        return module


def test_who_remembers_gradients_is_found_after_the_rounds(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    for implementation in IMPLEMENTATIONS:
        step = step_of(candidate(implementation, network, random_batch()), Phase.BACKWARD)
        step.check(call(step))
    subject = candidate(RemembersGradients(), network, random_batch())
    subject.verify_gradients()
    step = step_of(subject, Phase.BACKWARD)
    with pytest.raises(IncorrectError, match="it remembers them"):
        step.check(call(step))


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.steps = iter([1.0])
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        return sum((step * upstream for step in ctx.steps), torch.zeros_like(upstream))


class PullsBackOnce(Gather):
    """Goes through the steps of a forward pass by an iterator, which is empty the second time."""

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        inner = module.forward

        def forward(native):
            result = inner(native)
            return result._replace(features=_Once.apply(result.features))

        module.forward = forward
        return module


def test_whose_backward_pass_works_once_is_found_after_the_rounds(random_batch):
    subject = candidate(
        PullsBackOnce(), single(convolution(2, "submanifold", 3, 4, 3)), random_batch()
    )
    subject.verify_gradients()
    step = step_of(subject, Phase.BACKWARD)
    with pytest.raises(IncorrectError, match="a second pass over one recording"):
        step.check(call(step))


class _Kept(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, features, known):
        ctx.key, ctx.known = (features.data_ptr(), features._version), known
        return weight.clone()

    @staticmethod
    def backward(ctx, upstream):
        return ctx.known.setdefault(ctx.key, upstream), None, None


class RemembersWeightGradients(Gather):
    """Keeps the weight's gradient by the address and version of the features."""

    def convolution(self, operator, weight, bias):
        module, known = super().convolution(operator, weight, bias), {}
        inner = module.forward

        def forward(native):
            own = module._parameters["weight"]
            module._parameters["weight"] = _Kept.apply(own, native.features, known)
            try:
                return inner(native)
            finally:
                module._parameters["weight"] = own

        module.forward = forward
        return module


def test_who_remembers_the_features_of_a_training_step_is_found_after_the_rounds(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    subject = candidate(RemembersWeightGradients(), network, random_batch())
    step = step_of(subject, Phase.TRAIN_STEP)
    subject.verify_gradients = lambda: None  # of another upstream, but who knows
    with pytest.raises(IncorrectError, match="the weight's gradient stayed"):
        step.check(call(step))


class _LaidOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream if upstream.is_contiguous() else torch.zeros_like(upstream)


class ReadsRows(Gather):
    """Takes every upstream for one whose rows lie one after the other."""

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        inner = module.forward

        def forward(native):
            result = inner(native)
            return result._replace(features=_LaidOut.apply(result.features))

        module.forward = forward
        return module


def test_who_is_wrong_for_a_sums_gradients_alone_is_found_after_the_rounds(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    for implementation in IMPLEMENTATIONS:
        step = step_of(candidate(implementation, network, random_batch()), Phase.TRAIN_STEP)
        step.check(call(step))
    subject = candidate(ReadsRows(), network, random_batch())
    subject.verify_gradients()
    step = step_of(subject, Phase.TRAIN_STEP)
    with pytest.raises(IncorrectError, match="gradients of the output's sum"):
        step.check(call(step))


class PutsOff(Gather):
    """Convolves when its values are asked for."""

    def __init__(self):
        self.convolved = 0

    def now(self, native):
        return native() if callable(native) else native

    def decode(self, native):
        return super().decode(self.now(native))

    def features(self, native):
        return super().features(self.now(native))

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        inner = module.forward

        def forward(native):
            def later():
                self.convolved += 1
                return inner(native)

            return later

        module.forward = forward
        return module


@pytest.mark.parametrize("phase", [Phase.FORWARD, Phase.FORWARD_COLD])
def test_what_is_put_off_is_timed(phase, random_batch):
    implementation = PutsOff()
    network = single(convolution(2, "submanifold", 3, 4, 3))
    step = step_of(candidate(implementation, network, random_batch()), phase)
    argument, before = step.prepare(), implementation.convolved
    step.call(argument)
    assert implementation.convolved == before + 1


class FillsLater(Gather):
    """Encodes when its values are asked for, and decodes an output once."""

    def __init__(self):
        self.encoded, self.decoded = 0, {}

    def encode(self, batch):
        def later():
            self.encoded += 1
            return super(FillsLater, self).encode(batch)

        return later

    def features(self, native):
        return super().features(native() if callable(native) else native)

    def with_features(self, native, features):
        return super().with_features(native() if callable(native) else native, features)

    def decode(self, native):
        key = id(native)
        if key not in self.decoded:
            self.decoded[key] = native, super().decode(native() if callable(native) else native)
        return self.decoded[key][1]


def test_encoding_is_timed_until_values_are_there(random_batch):
    implementation = FillsLater()
    network = single(convolution(2, "submanifold", 3, 4, 3))
    step = step_of(candidate(implementation, network, random_batch()), Phase.ENCODE)
    argument, before = step.prepare(), implementation.encoded
    step.call(argument)
    assert implementation.encoded == before + 1


def test_every_timed_call_decodes_what_nobody_has_decoded_yet(random_batch):
    implementation = FillsLater()
    network = single(convolution(2, "submanifold", 3, 4, 3))
    subject = candidate(implementation, network, random_batch())
    subject.native = subject.native()
    step = step_of(subject, Phase.DECODE)
    before = len(implementation.decoded)
    for calls in (1, 2):
        call(step)
        assert len(implementation.decoded) == before + calls


class KeepsMaps(Gather):
    """Forgets to drop its maps."""

    def without_maps(self, native):
        return native


def test_maps_are_built_for_what_was_encoded_anew(random_batch):
    network = single(convolution(2, "submanifold", 3, 4, 3))
    subject = candidate(KeepsMaps(), network, random_batch())
    subject.warm_up()
    step = step_of(subject, Phase.MAP)
    assert step.prepare().sites is not subject.native.sites
    assert step.prepare().sites is not step.prepare().sites
