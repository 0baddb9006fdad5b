"""What else differs between two runs: told of the machine, of libraries, of rates, of the baseline."""

import json
from dataclasses import replace

import pytest

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.phases import Phase
from bench.results.schema import Rate
from bench.results.store import write
from reports.changes import doubts, to_markdown
from reports.changes_page import render
from tests.reports.compared_runs import made, slower_machine
from tests.reports.synthetic_runs import Noise, at_versions, density_group, make_run, with_machine

LIBRARIES = "torch 2.13.0+cpu; numpy 2.4.6; sparsebench 0.1.0"
CLOCKS = "1,980 MHz now, 1,980 MHz at most, 1,980 MHz set for applications, 2,619 MHz of the memory"


def told(base, head, *, paired=False):
    return doubts(compare_runs(base, head, paired=paired))


def told_of_facts(before, after):
    return told(with_machine(made(), facts=before), with_machine(made(seed=2), facts=after))


def told_of_versions(before, after, libraries=LIBRARIES):
    base, head = at_versions(made(), before), at_versions(made(seed=2), after)
    head = with_machine(head, facts={"libraries": libraries})
    return told(with_machine(base, facts={"libraries": LIBRARIES}), head)


@pytest.mark.parametrize(
    ("topic", "before", "after", "shown"),
    [
        ("memory", "23.5 GiB", "11.7 GiB", ("23.5 GiB", "11.7 GiB")),
        ("vector instructions", "AVX512", "AVX2", ("AVX512", "AVX2")),
        (
            "libraries",
            LIBRARIES,
            LIBRARIES.replace("2.13.0", "2.12.1"),
            ("torch 2.13.0+cpu", "torch 2.12.1+cpu"),
        ),
        (
            "thread pools",
            "mkl: 1; openmp: 1; openmp: 1",
            "openmp: 1",
            ("mkl: 1 and openmp: 1", "nothing"),
        ),
        (
            "gpu clocks",
            CLOCKS,
            CLOCKS.replace("1,980 MHz set", "1,200 MHz set"),
            ("1,980 MHz set for applications", "1,200 MHz set for applications"),
        ),
    ],
)
def test_a_fact_of_the_machine_that_differs_is_told_with_both_values(topic, before, after, shown):
    sentence = f"{topic}: {shown[0]} in the base, {shown[1]} in the head"
    assert told_of_facts({topic: before}, {topic: after}) == [sentence]
    assert told_of_facts({topic: after}, {topic: after}) == []


@pytest.mark.parametrize(
    ("topic", "before", "after"),
    [
        ("load before the run", "0.10", "0.12"),
        ("gpu before the run", "31 °C", "35 °C"),
        ("gpu clocks read", "5 µs", "6 µs"),
        ("gpu clocks", CLOCKS, CLOCKS.replace("1,980 MHz now", "345 MHz now")),
        ("thread pools", "openmp: 1; mkl: 1", "mkl: 1; openmp: 1"),
        ("libraries", LIBRARIES, LIBRARIES.replace("sparsebench 0.1.0", "sparsebench 0.2.0")),
    ],
)
def test_what_differs_between_any_two_runs_is_not_told(topic, before, after):
    assert told_of_facts({topic: before}, {topic: after}) == []


def test_a_fact_that_only_one_run_knows_is_not_told():
    assert told_of_facts({}, {"memory": "23.5 GiB"}) == []
    assert told_of_facts({"memory": "23.5 GiB"}, {}) == []


def test_a_library_s_version_is_told_of_all_who_call_it_and_that_of_sources_is_not():
    before = {"gather": "0.5.3", "masked": "0.5.3", "dense": "d6eea552"}
    assert told_of_versions(before, before | {"dense": "ef9c0ffc"}) == []
    assert told_of_versions(before, before | {"gather": "0.5.4", "masked": "0.5.4"}) == [
        "gather and masked: 0.5.3 in the base, 0.5.4 in the head"
    ]
    assert told_of_versions({"gather": "d6eea552"}, {"gather": "ef9c0ffc without numba"}) == [
        "gather: d6eea552 in the base, ef9c0ffc without numba in the head"
    ]


def test_a_version_that_is_a_date_is_told():
    assert told_of_versions({"gather": "20260101.1"}, {"gather": "20261121.1"}) == [
        "gather: 20260101.1 in the base, 20261121.1 in the head"
    ]


def test_a_version_that_the_machine_s_facts_tell_is_told_once():
    before = dict.fromkeys(("dense", "masked"), "2.13.0+cpu 82f6e0c0")
    after = dict.fromkeys(before, "2.12.1+cpu b6aae04e")
    assert told_of_versions(before, after, LIBRARIES.replace("2.13.0", "2.12.1")) == [
        "libraries: torch 2.13.0+cpu in the base, torch 2.12.1+cpu in the head"
    ]
    assert told_of_versions(before, after) == [
        "dense and masked: 2.13.0+cpu 82f6e0c0 in the base, 2.12.1+cpu b6aae04e in the head"
    ]


def test_rates_are_told_that_are_more_than_a_tenth_apart():
    base = made()
    (rate,) = base.header.machine.rates

    def at(multiply_adds, copied):
        own = replace(rate, multiply_adds_per_second=multiply_adds, bytes_per_second=copied)
        return with_machine(made(seed=2), rates=(own,))

    (sentence,) = told(base, at(25e9, 10e9))
    assert sentence == (
        "matrix products in float32 on cpu: 50.0 G multiply-adds/s in the base, "
        "25.0 G multiply-adds/s in the head"
    )
    assert told(base, at(50e9, 20e9)) == [
        "copies in float32 on cpu: 10.0 GB/s in the base, 20.0 GB/s in the head"
    ]
    assert told(base, at(53e9, 9.5e9)) == []
    assert told(base, with_machine(made(seed=2), rates=())) == []


def test_rates_are_compared_with_those_of_the_same_type_on_the_same_device():
    rates = [
        Rate(device, dtype, speed, speed / 5)
        for device, dtype, speed in (
            ("cpu", "float32", 50e9),
            ("cpu", "float64", 25e9),
            ("cuda", "float32", 9e12),
        )
    ]
    base = with_machine(made(), rates=tuple(rates))
    for order in (rates, reversed(rates)):
        assert told(base, with_machine(made(seed=2), rates=tuple(order))) == []


@pytest.mark.parametrize(
    ("factor", "shown"), [(1.2, "1.20 times as slow"), (0.8, "1.25 times as fast")]
)
def test_a_baseline_that_moved_with_the_others_is_told_and_changes_no_verdict(factor, shown):
    base, head = made(seed=1), slower_machine(made(seed=2), factor)
    (sentence,) = told(base, head)
    assert sentence == (
        f"the baseline itself, dense, became {shown}: the machine or torch may be what changed; "
        f"`sparsebench ab` measures in turn"
    )
    assert compare_runs(base, head).exit_code == (1 if factor > 1 else 0)


def test_in_lock_step_nothing_else_changed():
    head = with_machine(slower_machine(made(seed=2), 1.2), facts={"memory": "1 GiB"}, rates=())
    assert told(made(seed=1), head) != []
    assert told(made(seed=1), head, paired=True) == []


def test_a_baseline_that_moved_alone_little_or_unknown_how_far_is_not_told():
    base = made(seed=1)
    assert told(base, made(1.2, seed=2)) == []  # gather alone
    assert told(base, slower_machine(made(seed=2), 1.2, ("dense",))) == []
    assert told(base, slower_machine(made(seed=2), 1.02)) == []
    assert told(base, slower_machine(made(1 / 1.2**2, seed=2), 1.2)) != []  # gather improved
    apart = slower_machine(made(seed=2), 1.2, ("dense",))
    assert told(base, slower_machine(apart, 1 / 1.2, ("gather", "masked"))) == []
    assert told(base, slower_machine(apart, 1.005, ("gather", "masked"))) == []
    loud = Noise(rounds=0.5, processes=0.5, count=3)
    assert told(made(noise=loud), slower_machine(made(seed=1, noise=loud), 1.05)) == []


@pytest.mark.parametrize(
    ("phases", "is_told"), [((Phase.FORWARD, Phase.BACKWARD), False), ((Phase.BACKWARD,), True)]
)
def test_the_baseline_is_looked_at_in_the_headline_phases_where_there_are_any(phases, is_told):
    base, head = (make_run(density_group()[:3], phases=phases, seed=seed) for seed in (1, 2))
    slower = slower_machine(head, 1.2, phase=Phase.BACKWARD)
    assert bool(told(base, slower)) == is_told


def test_of_other_machines_nothing_is_told_but_that():
    head = with_machine(made(seed=2), name="another", facts={"memory": "1 GiB"})
    assert told(made(), head) == []


def test_every_form_tells_it(tmp_path, capsys):
    base, head = made(), with_machine(made(seed=2), facts={"memory": "<1> GiB"})
    sentence = "memory: 7.7 GiB in the base, <1> GiB in the head"
    files = [tmp_path / name for name in ("base.json", "head.json")]
    for run, file in zip((base, head), files, strict=True):
        write(run, file)
    assert main(["compare", *map(str, files)]) == 0
    assert f"\ndoubt: {sentence}\n" in capsys.readouterr().out
    assert main(["compare", *map(str, files), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["doubts"] == [sentence]
    changes = compare_runs(base, head)
    assert "\n- memory: 7.7 GiB in the base, " in to_markdown(changes)
    assert "<li>memory: 7.7 GiB in the base, &lt;1&gt; GiB in the head</li>" in render(changes)
    assert "Doubts" not in render(compare_runs(base, base))
