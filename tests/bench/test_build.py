import gc
import weakref

import pytest
import torch

from bench.build import BuiltNetwork, initial_weights, why_unbuildable
from bench.implementation import why_unmeasured, why_unsupported
from bench.measure.failures import why_unavailable
from bench.network import INPUT, Layer, Network, single
from bench.operators import (
    Add,
    BatchNorm,
    Concatenate,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)
from bench.phases import Phase
from impls.gather import Gather

CPU = torch.device("cpu")
CHAIN = Network(
    (
        Layer("first", Rectifier()),
        Layer("second", Rectifier()),
        Layer("both", Concatenate(), ("first", "second")),
        Layer("third", Rectifier()),
        Layer("aside", Rectifier(), (INPUT,)),
        Layer("last", Add(), ("third", "third")),
    )
)


def test_evaluation_hands_every_layer_what_it_reads():
    def step(layer, sources):
        return f"{layer.name}({', '.join(sources)})"

    assert CHAIN.evaluate("x", step) == (
        "last(third(both(first(x), second(first(x)))), third(both(first(x), second(first(x)))))"
    )


class Value:
    """Something that can be seen to be let go of."""


def test_a_value_is_let_go_of_once_its_last_reader_is_done():
    alive, kept = {}, {}

    def step(layer, sources):
        gc.collect()
        kept[layer.name] = {name for name, value in alive.items() if value() is not None}
        value = Value()
        alive[layer.name] = weakref.ref(value)
        return value

    CHAIN.evaluate(Value(), step)
    assert kept["both"] == {"first", "second"}
    assert kept["third"] == {"both"}
    assert kept["last"] - {"aside"} == {"third"}


def test_a_layer_that_nobody_reads_is_computed_and_dropped():
    seen = []
    CHAIN.evaluate(0, lambda layer, _: seen.append(layer.name))
    assert seen == [layer.name for layer in CHAIN.layers]


NETWORK = Network(
    (
        Layer("conv", convolution(2, "submanifold", 3, 4, 3)),
        Layer("norm", BatchNorm(4)),
        Layer("linear", Linear(4, 50, bias=False)),
    )
)


def test_every_weight_is_drawn_and_a_batch_norms_scale_is_positive():
    weights = initial_weights(NETWORK, 0, torch.float64, CPU)
    assert weights["conv"].weight.shape == (4, 3, 3, 3)
    assert weights["linear"].weight.shape == (50, 4)
    assert weights["linear"].bias is None
    norm = weights["norm"]
    assert norm.weight.shape == norm.bias.shape == (4,)
    assert 0.5 <= norm.weight.min() < norm.weight.max() <= 1.5
    wide = initial_weights(Network((Layer("norm", BatchNorm(100)),)), 0, torch.float64, CPU)
    assert wide["norm"].bias.min() < 0 < wide["norm"].bias.max()


def test_weights_and_biases_of_every_layer_are_leaves():
    weights = initial_weights(NETWORK, 0, torch.float64, CPU)
    built = BuiltNetwork(Gather(), NETWORK, weights, torch.float64, CPU)
    leaves = {name: (operator, tensor) for name, operator, tensor in built.leaves()}
    assert list(leaves) == [
        "conv.weight",
        "conv.bias",
        "norm.weight",
        "norm.bias",
        "linear.weight",
    ]
    for name, (operator, tensor) in leaves.items():
        layer, part = name.split(".")
        assert torch.equal(
            built.torch_layout(name, operator, tensor), getattr(weights[layer], part)
        )


class NoPooling(Gather):
    name = "no_pooling"

    def unsupported(self, operator, dtype, device):
        return "kernels are odd" if getattr(operator, "window", None) else None


def test_what_cannot_be_built_is_named_by_its_layer():
    network = Network((Layer("norm", BatchNorm(3)), Layer("pool", max_pooling(2, 2, 2))))
    reason = why_unbuildable(NoPooling(), network, torch.float32, CPU)
    assert reason == "layer 'pool': kernels are odd"
    assert why_unbuildable(Gather(), network, torch.float32, CPU) is None


def test_weights_that_are_missing_are_an_error():
    with pytest.raises(KeyError, match="conv"):
        BuiltNetwork(Gather(), NETWORK, {}, torch.float64, CPU)


@pytest.mark.parametrize("made", [None, "a module"])
def test_who_makes_no_module_for_a_layer_is_told_so(made):
    class Forgetful(Gather):
        name = "forgetful"

        def convolution(self, operator, weight, bias):
            return made

    network = single(convolution(2, "full", 1, 1, 3))
    weights = initial_weights(network, 0, torch.float32, CPU)
    words = f"forgetful makes {type(made).__name__} for layer .*; it makes a torch.nn.Module"
    with pytest.raises(TypeError, match=words):
        BuiltNetwork(Forgetful(), network, weights, torch.float32, CPU)


class Holding(torch.nn.Module):
    """A module with a weight, however that is held."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight


@pytest.mark.parametrize(
    "held",
    [
        lambda weight: weight,
        lambda weight: torch.nn.Parameter(weight, requires_grad=False),
        lambda _: None,
    ],
)
def test_a_weight_that_can_learn_nothing_is_told_by_its_layer(held):
    class Untaught(Gather):
        name = "untaught"

        def convolution(self, operator, weight, bias):
            return Holding(held(weight))

    network = single(convolution(2, "full", 1, 1, 3))
    weights = initial_weights(network, 0, torch.float64, CPU)
    built = BuiltNetwork(Untaught(), network, weights, torch.float64, CPU)
    words = "untaught makes Holding for layer .*, whose 'weight' is no torch.nn.Parameter"
    with pytest.raises(TypeError, match=words):
        built.leaves()


@pytest.mark.parametrize("answer", [True, False, 0, ["2D only"]])
def test_a_reason_that_is_no_text_is_an_error_that_shows_it(answer):
    class Mute(Gather):
        name = "mute"

        def unsupported(self, operator, dtype, device):
            return answer

        def unmeasured(self, phase):
            return answer

        def unavailable(self, device):
            return answer

    with pytest.raises(
        TypeError, match=r"unsupported returns .*; it returns a reason in words"
    ) as told:
        why_unsupported(Mute(), convolution(2, "full", 1, 1, 3), torch.float32, CPU)
    assert repr(answer) in str(told.value)
    with pytest.raises(TypeError, match=r"unmeasured returns .*; it returns a reason in words"):
        why_unmeasured(Mute(), Phase.FORWARD)
    words = f"TypeError: unavailable returns {answer!r}; it returns a reason in words, or None"
    assert (why_unavailable(Mute(), CPU) or "").startswith(words)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (single(convolution(2, "full", 1, 1, 3)), None),
        (single(max_pooling(2, 2, 2)), None),
        (single(Rectifier()), "this operator needs no kernel map"),
        (CHAIN, "each layer of a network has a kernel map of its own"),
    ],
)
def test_a_map_is_timed_apart_where_a_single_layer_has_one(network, words):
    told = why_unmeasured(Gather(), Phase.MAP, network)
    assert told is None if words is None else told.startswith(words)
    assert why_unmeasured(Gather(), Phase.ENCODE, network) is None
