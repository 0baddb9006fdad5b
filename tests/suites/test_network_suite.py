"""Suite `networks` has what the papers compare, and stays affordable."""

import math
import re

import pytest

from bench.background import Background
from bench.ground_state import why_no_ground_state
from bench.operators import Convolution, InverseConvolution, Linear
from suites.networks.characters import AssameseCharacters
from suites.networks.deepcnet import deep_cnet, grid_of
from suites.networks.pictures import KeptDigits
from suites.networks.suite import SUITE
from suites.patterns import PenStrokes

WORKLOADS = SUITE.workloads()
BY_NAME = {workload.name: workload for workload in WORKLOADS}
MOST_DENSE_MULTIPLY_ADDS = 60e9
"""Of one forward pass of every workload: half an hour at some 600 passes of 20 G a second."""


def grid_size(workload):
    source = workload.input
    if isinstance(source, KeptDigits):
        return (28, 28)
    return source.grid_size if hasattr(source, "grid_size") else (source.grid, source.grid)


def groups():
    found = {}
    for workload in WORKLOADS:
        if workload.group:
            found.setdefault((workload.axis, workload.background, workload.group), []).append(
                workload.position
            )
    return found


def positions(axis, start, background=Background.ZERO):
    """The positions of the curve whose name starts so."""
    (found,) = [
        places
        for (what, where, group), places in groups().items()
        if (what, where) == (axis, background) and group.startswith(start)
    ]
    return found


def dense_multiply_adds(workload):
    """Of one forward pass, from shapes alone: data may not be there."""
    network = workload.network
    shapes = network.shapes(workload.channels, grid_size(workload))
    total = 0
    for place, layer in enumerate(network.layers):
        channels, before = shapes[network.reads(place)[0]]
        filters, after = shapes[layer.name]
        match layer.operator:
            case Convolution(window=window):
                total += math.prod(after) * window.volume * channels * filters
            case InverseConvolution(window=window):
                total += math.prod(before) * window.volume * channels * filters
            case Linear():
                total += math.prod(after) * channels * filters
    return total * getattr(workload.input, "batch_size", 1)


def test_the_suite_stays_affordable():
    assert sum(map(dense_multiply_adds, WORKLOADS)) < MOST_DENSE_MULTIPLY_ADDS


def test_the_same_drawing_goes_from_24_to_768():
    sizes = [24, 48, 96, 192, 384, 768]
    assert positions("grid size", "DeepCNet(l, 30)") == sizes
    assert positions("grid size", "DeepCNet(l, 30)", Background.GROUND_STATE) == sizes[:-1]
    for size, levels in zip(sizes, range(3, 9), strict=True):
        (workload,) = [
            one
            for one in WORKLOADS
            if one.name.startswith(f"deepcnet-{levels}-30-grid{size}-strokes-b2")
            and one.background is Background.ZERO
        ]
        assert workload.input == PenStrokes((size, size), 2, size // 3)
        assert workload.network == deep_cnet(levels, 30, 183)


@pytest.mark.parametrize(("levels", "drawn_batch"), [(5, 32), (7, 8)])
def test_fields_of_96_and_384_are_there_recorded_and_drawn(levels, drawn_batch):
    grid = 3 * 2**levels
    recorded = BY_NAME[f"deepcnet-{levels}-30-grid{grid}-assamese-b32"]
    assert recorded.input == AssameseCharacters(grid, grid // 3, 32)
    assert recorded.network == deep_cnet(levels, 30, 183, channels=3)
    drawn = BY_NAME[f"deepcnet-{levels}-30-grid{grid}-strokes-b{drawn_batch}"]
    assert drawn.input == PenStrokes((grid, grid), drawn_batch, grid // 3)
    assert drawn.network == deep_cnet(levels, 30, 183)


def test_curves_go_over_characters_batches_densities_and_filters():
    assert positions("characters", "DeepCNet(6, 30)") == [1, 5, 20, 50]
    assert positions("batch size", "DeepCNet(5, 30)") == [1, 8, 32, 128]
    assert positions("density", "DeepCNet(5, 30)") == [0.01, 0.05, 0.2, 0.5]
    assert positions("k", "DeepCNet(5, k)") == [10, 30, 60, 100]


def test_there_are_three_grid_sizes_or_more_wherever_grid_size_is_the_axis():
    found = [places for (axis, _, _), places in groups().items() if axis == "grid size"]
    assert len(found) >= 6
    assert all(len(places) >= 3 for places in found)


@pytest.mark.parametrize(
    "start", ["deepcnet-", "deepcnet-padded", "deepcnin", "deepcnet3d", "vgg", "cnn", "invariant"]
)
def test_every_family_is_there(start):
    assert any(name.startswith(start) for name in BY_NAME)


@pytest.mark.parametrize("workload", WORKLOADS, ids=BY_NAME)
def test_names_say_grid_and_background(workload):
    named = re.search(r"grid(\d+)", workload.name)
    assert named is None or int(named[1]) == grid_size(workload)[0]
    ground = workload.background is Background.GROUND_STATE
    assert workload.name.endswith("-ground") == ground
    if ground:
        assert why_no_ground_state(workload.network) is None


@pytest.mark.parametrize("workload", WORKLOADS, ids=BY_NAME)
def test_classifiers_end_in_one_site_and_deepcnets_take_the_grid_of_their_depth(workload):
    last = workload.network.layers[-1]
    _, after = workload.network.shapes(workload.channels, grid_size(workload))[last.name]
    assert set(after) == {1} or last.name == "depth"
    levels = re.match(r"deepc[a-z]+(?:3d)?-(?:padded-)?(\d+)-", workload.name)
    if levels:
        assert grid_size(workload) == grid_of(int(levels[1]), len(after))
