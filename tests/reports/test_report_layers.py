"""Where time goes by layer, and who shares kernel maps: computed from what cells carry."""

from dataclasses import replace

import pytest

from bench.network import Layer, Network
from bench.operators import (
    BatchNorm,
    Concatenate,
    InverseConvolution,
    Linear,
    Rectifier,
    convolution,
    max_pooling,
)
from bench.phases import Phase
from bench.workload import Workload
from reports.layer_times import kinds_of_layers, profiles, summarise
from reports.page import render
from reports.sharing import Finding, sharing, stacks
from reports.speed import compare
from suites.networks.vgg import assamese_vgg
from suites.patterns import Uniform
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import make_run, workload

SUBMANIFOLD = convolution(2, "submanifold", 2, 2, 3)
DOWN = convolution(2, "full", 2, 2, 3, 2)
NETWORK = Network(
    (
        Layer("conv1", SUBMANIFOLD),
        Layer("relu1", Rectifier()),
        Layer("conv2", SUBMANIFOLD),
        Layer("down", DOWN),
        Layer("coarse", SUBMANIFOLD),
        Layer("up", InverseConvolution(2, 2, DOWN.window), ("coarse", "conv2")),
        Layer("join", Concatenate(), ("up", "conv2")),
        Layer("wide", convolution(2, "submanifold", 4, 2, 5)),
        Layer("norm", BatchNorm(2)),
        Layer("conv3", SUBMANIFOLD),
        Layer("pool", max_pooling(2, 2, 2)),
        Layer("classify", Linear(2, 3)),
    )
)
WARM = {layer.name: 1e6 for layer in NETWORK.layers}
STACK = ["conv1", "conv2", "conv3"]


def definition(network):
    return Workload("made", network, Uniform((8, 8), 1, 0.5), 2).definition()


def run_with_layers(layers_of, network=NETWORK, names=("dense", "gather")):
    """A run of one workload whose cells carry what `layers_of(implementation, phase)` returns."""
    record = replace(workload("made", 0.1), definition=definition(network))
    run = make_run([record], names, times=lambda _name, _record: 1e-3)
    cells = tuple(
        replace(cell, layers=layers_of(cell.implementation, cell.phase))
        for cell in run.units[0].cells
    )
    return replace(run, units=(replace(run.units[0], cells=cells),))


def usual_layers(name, phase):
    """gather's first layer of the stack costs 3 ms more cold; dense costs the same."""
    if phase is Phase.TRAIN_STEP:
        return {}
    if phase is Phase.FORWARD:
        return WARM
    extra = {"conv1": 3e6} if name == "gather" else {}
    return {"encode": 5e5} | {layer: value + extra.get(layer, 0) for layer, value in WARM.items()}


def profile_of(run):
    comparison = compare(run)
    (found,) = profiles(comparison, comparison.settings[0])
    return found


def sharing_of(run):
    return {found.implementation: found for found in sharing([profile_of(run)])}


def test_layers_have_the_kinds_of_their_operators():
    kinds = kinds_of_layers(definition(NETWORK))
    assert kinds["conv1"] == kinds["down"] == kinds["up"] == "convolution"
    assert kinds["pool"] == "pooling"
    assert kinds["relu1"] == kinds["norm"] == kinds["join"] == kinds["classify"] == "other"
    assert kinds["encode"] == "encode"


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"network": None},
        {"network": {"layers": 3}},
        {"network": {"layers": [None, {"name": "a"}, {"operator": 3}]}},
        {"network": {"layers": [{"name": "a", "operator": {"kind": None}, "reads": None}]}},
    ],
)
def test_a_definition_that_cannot_be_read_has_no_kinds_and_no_stacks(broken):
    assert set(kinds_of_layers(broken).values()) <= {"encode", "other"}
    assert stacks(broken) == []


def test_a_profile_sums_up_by_kind_and_keeps_the_order_of_layers():
    profile = profile_of(run_with_layers(usual_layers))
    assert [(one.implementation, one.temperature) for one in profile.passes] == [
        ("dense", "warm"),
        ("dense", "cold"),
        ("gather", "warm"),
        ("gather", "cold"),
    ]
    cold = profile.passes[-1]
    assert cold.kinds["encode"] == pytest.approx(0.5e-3)
    assert cold.kinds["convolution"] == pytest.approx(10e-3)
    assert cold.kinds["pooling"] == pytest.approx(1e-3)
    assert cold.kinds["other"] == pytest.approx(4e-3)
    assert cold.total == pytest.approx(15.5e-3)
    assert [line.name for line in profile.lines] == ["encode", *WARM]


def test_layers_of_less_than_a_hundredth_of_every_pass_are_summed_up():
    def layers(_name, phase):
        small = {"relu1": 1e3, "norm": 2e3}
        return {} if phase is Phase.TRAIN_STEP else WARM | small

    profile = profile_of(run_with_layers(layers))
    last = profile.lines[-1]
    assert last.name == "2 smaller layers"
    assert last.seconds == pytest.approx((3e-6,) * 4)
    assert {"relu1", "norm"}.isdisjoint(line.name for line in profile.lines)


def test_a_bar_is_as_wide_as_its_shares():
    cold = profile_of(run_with_layers(usual_layers)).passes[-1]
    assert cold.bar["encode"] == f"M0 0H{1000 * 0.5 / 15.5 - 1:.0f}V10H0z"
    assert cold.bar["pooling"].count("M") == 1
    assert cold.bar["convolution"].count("M") == 7


def test_the_summary_says_what_a_warm_pass_does_not_take():
    comparison = compare(run_with_layers(usual_layers))
    found = {
        row.implementation: row for row in summarise(profiles(comparison, comparison.settings[0]))
    }
    assert found["gather"].beyond_warm == pytest.approx(3.5 / 15.5)
    assert found["dense"].beyond_warm == pytest.approx(0.5 / 12.5)
    assert sum(found["gather"].shares.values()) == pytest.approx(1)


def test_without_layer_times_there_is_no_section():
    page = PageParser(render(run_with_layers(lambda _name, _phase: {})))
    assert "layers" not in page.sections
    assert "Kernel maps that layers share" not in page.text("fairness")


def test_the_page_shows_layers_in_tables_and_bars():
    text = render(run_with_layers(usual_layers))
    page = PageParser(text)
    assert list(page.sections)[-6:] == [
        "layers",
        "fairness",
        "efficiency",
        "memory",
        "not-measured",
        "method",
    ]
    table = page.table("time by layer")
    assert table.rows[0] == [
        "Layer",
        "Kind",
        *("dense, warm", "dense, cold", "gather, warm", "gather, cold"),
    ]
    assert ["conv1", "convolution", "1.00 ms", "1.00 ms", "1.00 ms", "4.00 ms"] in table.rows
    assert ["encode", "encode", "·", "500 µs", "·", "500 µs"] in table.rows
    layers = text[text.index('<section id="layers"') : text.index('<section id="fairness"')]
    assert layers.count('<svg class="bar"') == 4


def test_layers_on_the_same_sites_with_the_same_window_are_a_stack():
    assert stacks(definition(NETWORK)) == [STACK]


def test_the_assamese_vggs_stacks_go_through_its_branches():
    found = stacks(definition(assamese_vgg()))
    assert ["conv1", "conv2"] in found
    assert ["conv3", "conv4"] in found
    # Straight convolutions of both C(16, 8) lie on the same sites; those around do not.
    assert ["conv5", "conv7"] in found
    assert len(found) == 4


@pytest.mark.parametrize(
    ("extra", "finding"),
    [
        ((3e6, 0.0, 0.0), Finding.SHARED),
        ((3e6, 0.2e6, 0.4e6), Finding.SHARED),
        ((3e6, 2.9e6, 3.1e6), Finding.REBUILT),
        ((3e6, 1.1e6, 1.1e6), Finding.UNCLEAR),
        ((0.01e6, 0.04e6, 0.01e6), Finding.NONE),
        ((-0.5e6, -0.4e6, -0.1e6), Finding.NONE),
        ((0.0, 2e6, 2e6), Finding.REBUILT),
    ],
)
def test_who_shares_kernel_maps_follows_from_cold_and_warm_times(extra, finding):
    def layers(_name, phase):
        if phase is Phase.TRAIN_STEP:
            return {}
        if phase is Phase.FORWARD:
            return WARM
        return WARM | {layer: WARM[layer] + more for layer, more in zip(STACK, extra, strict=True)}

    found = sharing_of(run_with_layers(layers))["gather"]
    assert found.finding is finding
    assert found.stacks == 1
    assert found.first == pytest.approx(extra[0] * 1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("second_pair", "finding"),
    [
        ((4e6, 4e6), Finding.UNCLEAR),
        ((4e6, 0.0), Finding.SHARED),
        # The second map was there already: that pair says nothing, and does not outvote the first.
        ((0.0, 0.0), Finding.SHARED),
    ],
)
def test_stacks_are_judged_together(second_pair, finding):
    """Two layers twice, on sites of their own; the first pair shares."""
    names = ["conv1", "conv2", "pool", "conv3", "conv4"]
    operators = [SUBMANIFOLD, SUBMANIFOLD, max_pooling(2, 2, 2), SUBMANIFOLD, SUBMANIFOLD]
    network = Network(tuple(map(Layer, names, operators)))

    def layers(_name, phase):
        warm = dict.fromkeys(names, 1e6)
        if phase is Phase.TRAIN_STEP:
            return {}
        if phase is Phase.FORWARD:
            return warm
        return warm | {"conv1": 5e6, "conv3": 1e6 + second_pair[0], "conv4": 1e6 + second_pair[1]}

    found = sharing_of(run_with_layers(layers, network))["gather"]
    assert (found.stacks, found.finding) == (2, finding)


def test_the_fairness_section_says_who_shares():
    page = PageParser(render(run_with_layers(usual_layers)))
    table = page.table("extra time of a cold pass over a warm one in stacks")
    assert ["gather", "1", "3.00 ms", "0 ns", str(Finding.SHARED)] in table.rows
    assert ["dense", "1", "0 ns", "0 ns", str(Finding.NONE)] in table.rows


def test_only_what_has_both_passes_is_judged():
    def only_cold(name, phase):
        return usual_layers(name, phase) if phase is Phase.FORWARD_COLD else {}

    assert sharing_of(run_with_layers(only_cold)) == {}
