from dataclasses import replace

import pytest
from refusals import refusal

from bench.cli.names import split
from bench.cli.selection import dtypes, phases, workloads
from bench.network import single
from bench.operators import max_pooling
from bench.phases import Phase
from bench.workload import Suite, Workload

NAMES = ("2d-full-k2", "2d-full-k3", "3d-full-k2", "2d-pool[x]")
SUITE = Suite(
    "mine",
    "a suite",
    lambda: tuple(Workload(name, single(max_pooling(2, 2, 2)), None, 1) for name in NAMES),
)


def names(patterns):
    return [workload.name for workload in workloads(SUITE, patterns)]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (None, None),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("a,,a", ["a", "a"]),
    ],
)
def test_an_option_is_split_at_commas_and_stripped(text, items):
    assert split(text) == items


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_an_option_that_names_nothing_is_refused_with_what_was_given(text):
    assert refusal(split, text) == f"{text!r} names nothing"


def test_all_phases_are_measured_unless_some_are_named():
    assert phases(None, tuple(Phase)) == tuple(Phase)


def test_phases_come_in_their_own_order_and_once():
    assert phases("train_step,encode,forward,encode", ()) == (
        Phase.ENCODE,
        Phase.FORWARD,
        Phase.TRAIN_STEP,
    )


def test_an_unknown_phase_is_refused_with_the_known_ones():
    message = refusal(phases, "forward,backwards", tuple(Phase))
    assert message == f"unknown phase 'backwards'; the phases are {', '.join(Phase)}"


def test_element_types_are_the_suites_unless_named():
    assert dtypes(None, ("float32", "bfloat16")) == ("float32", "bfloat16")
    assert dtypes("float64", ("float32",)) == ("float64",)


def test_element_types_keep_the_users_order_and_come_once():
    assert dtypes("float64,float16,float64", ()) == ("float64", "float16")


def test_an_unknown_element_type_is_refused_with_the_known_ones():
    message = refusal(dtypes, "float32,int8", ())
    assert "unknown dtype 'int8'" in message
    assert "float32, float64, bfloat16, float16" in message


def test_all_workloads_are_chosen_unless_some_are_named():
    assert names(None) == list(NAMES)


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ("2d-full-k3", ["2d-full-k3"]),
        ("2d-*", ["2d-full-k2", "2d-full-k3", "2d-pool[x]"]),
        ("*k?", ["2d-full-k2", "2d-full-k3", "3d-full-k2"]),
        ("3d-*,2d-full-*", ["3d-full-k2", "2d-full-k2", "2d-full-k3"]),
        ("2d-full-k2,2d-full-*", ["2d-full-k2", "2d-full-k3"]),
        ("2d-pool[x]", ["2d-pool[x]"]),
    ],
)
def test_workloads_are_chosen_by_patterns_each_once(patterns, chosen):
    assert names(patterns) == chosen


@pytest.mark.parametrize("pattern", ["4d-*", "2D-full-k2", "full"])
def test_a_pattern_that_matches_nothing_is_refused_with_where_to_look(pattern):
    message = refusal(workloads, SUITE, f"2d-*,{pattern}")
    assert message == (
        f"no workload of suite 'mine' matches {pattern!r}; `sparsebench list mine` shows them"
    )
    message = refusal(workloads, replace(SUITE, file="/my layers.py"), pattern)
    assert message.endswith("; `sparsebench list '/my layers.py'` shows them")
