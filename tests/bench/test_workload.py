"""What a workload is made of: numbers that a run file can hold, words, layers that can be computed."""

from dataclasses import replace
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from refusals import refusal

from bench.network import single
from bench.operators import BatchNorm, Linear, convolution
from bench.workload import Workload
from suites.patterns import Uniform

INPUT = Uniform((8, 8), 1, 0.5)
NETWORK = single(convolution(2, "submanifold", 4, 4, 3))


def workload(network=NETWORK, channels=4, **attributes):
    return Workload("mine", network, INPUT, channels, **attributes)


@pytest.mark.parametrize(
    ("position", "kept"),
    [
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (Fraction(1, 4), 0.25),
        (7, 7),
        (np.uint8(200), 200),
    ],
)
def test_numbers_of_other_libraries_become_pythons(position, kept):
    made = workload(channels=np.int32(4), seed=np.int64(1), position=position)
    assert (made.position, made.channels, made.seed) == (kept, 4, 1)
    assert type(made.position) in {int, float}
    assert msgspec.json.encode(made.definition())
    assert made.version() == workload(seed=1).version()


def test_numbers_of_other_libraries_within_a_definition_become_pythons():
    def made(density, size):
        return replace(workload(), input=Uniform((size, size), 1, density))

    other = made(np.float64(0.5), np.int64(9))
    assert msgspec.json.encode(other.definition()) == msgspec.json.encode(made(0.5, 9).definition())
    assert other.version() == made(0.5, 9).version()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"position": "a"}, "position 'a' is no finite number"),
        ({"position": None}, "position None is no finite number"),
        ({"position": float("nan")}, "position nan is no finite number"),
        ({"group": 3}, "its group is a word, not 3"),
        ({"axis": None}, "its axis is a word, not None"),
        ({"channels": -4}, "channels -4 is no whole number from 1 to"),
        ({"channels": "4"}, "channels '4' is no whole number from 1 to"),
        ({"seed": 2**70}, "seed 1180591620717411303424 is no whole number from"),
    ],
)
def test_what_no_run_file_could_hold_is_refused_with_the_workloads_name(attributes, words):
    told = refusal(lambda: workload(**attributes))
    assert told.startswith("workload 'mine': ")
    assert words in told


@pytest.mark.parametrize("dimensions", [1, 4])
def test_grids_are_flat_or_have_a_depth(dimensions):
    network = single(convolution(dimensions, "full", 4, 4, 3))
    assert f"has {dimensions} spatial axes; grids are 2D or 3D" in refusal(workload, network)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchNorm(-3),
        lambda: Linear(4, 0),
        lambda: convolution(2, "full", 4.0, 4, 3),
    ],
)
def test_channels_are_whole_numbers_of_at_least_one(make):
    assert "a number of channels is a whole number of at least 1, not " in refusal(make)


@pytest.mark.parametrize("size", [3.5, "3", (3, 3.0), None])
def test_sizes_of_a_window_are_whole_numbers(size):
    told = refusal(convolution, 2, "full", 4, 4, size)
    assert told.startswith(f"kernel size {size!r} is no whole number")
