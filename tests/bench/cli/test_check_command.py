"""The command `check`: what it finds, what it calls unsupported, how it exits."""

import json
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.conformance import cases
from suites.networks import small

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def few_cases(monkeypatch, checks_here):
    """Every seventh case: finding what is wrong everywhere needs no more."""
    monkeypatch.setattr(
        cases, "all_cases", lambda dtypes, every=cases.all_cases: every(dtypes)[::7]
    )


@pytest.mark.usefixtures("few_cases")
@pytest.mark.parametrize(
    "name",
    [
        "off_by_one_tap",
        "bias_everywhere",
        "wrong_gradient",
        "wrong_second_call",
        "remembers",
        "spurious_site",
    ],
)
def test_check_finds_every_kind_of_wrong_implementation(name, tmp_path, capsys):
    path = tmp_path / "one.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(PLUGINS)!r})\nimport wrong\n"
        f"class One(next(k for k in vars(wrong).values() if getattr(k, 'name', 0) == {name!r})):\n"
        f"    name = 'one'\n"
    )
    assert main(["check", str(path), "--dtype", "float32", "--examples", "5"]) == 4
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.usefixtures("few_cases")
def test_cases_that_fail_alike_are_told_together(tmp_path, capsys):
    path = tmp_path / "raising.py"
    path.write_text(
        "from impls.dense import Dense\n"
        "class Raising(Dense):\n"
        "    name = 'raising'\n"
        "    def convolution(self, operator, weight, bias):\n"
        "        raise TypeError('off ' + operator.rule)\n"
        "    def max_pooling(self, operator):\n"
        "        raise TypeError('no pooling')\n"
    )
    assert main(["check", str(path), "--dtype", "float32", "--examples", "1"]) == 4
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    reasons = [line.split(": ", 1)[1] for line in failed]
    alike = [reason for reason in reasons if reason.endswith(" more alike)")]
    rules = ("off full", "off submanifold", "off sparsity_invariant", "no pooling")
    assert all(sum(words in reason for reason in alike) == 1 for words in rules)
    (drawn,) = set(reasons) - set(alike)
    assert failed[reasons.index(drawn)].startswith("FAILED 1 examples")


NETWORKS = ("deepcnet", "vgg-plain", "invariant-mnist")


@pytest.fixture
def few_networks(monkeypatch, checks_here):
    every = small.conformance_networks()
    chosen = tuple(network for network in every if network.name in NETWORKS)
    monkeypatch.setattr(small, "conformance_networks", lambda: chosen)


@pytest.mark.usefixtures("few_networks")
def test_check_networks_proves_both_background_modes(capsys):
    assert main(["check", "gather", "--networks", "--dtype", "float32,float64", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert {record["operator"] for record in records} == {
        "deepcnet, zero",
        "deepcnet, ground_state",
        "vgg-plain, zero",
        "invariant-mnist, zero",
    }
    assert {record["result"] for record in records} == {"passed"}
    empty = [record["case"] for record in records if "-0-float32" in record["case"]]
    assert empty
    assert not any("vgg" in case for case in empty)  # its batch norms have nothing to train on


@pytest.mark.usefixtures("few_networks")
def test_check_networks_finds_what_is_wrong_and_names_the_layer_that_is_unsupported(
    tmp_path, capsys
):
    path = tmp_path / "two.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(PLUGINS)!r})\nimport wrong\n"
        "from impls.gather import Gather\nfrom bench.operators import BatchNorm\n"
        "class Shifted(wrong.OffByOneTap):\n    name = 'shifted'\n"
        "class Bare(Gather):\n    name = 'bare'\n"
        "    def unsupported(self, operator, dtype, device):\n"
        "        return 'norms nothing' if isinstance(operator, BatchNorm) else None\n"
    )
    assert main(["check", str(path), "--networks", "--dtype", "float64", "--json"]) == 4
    records = json.loads(capsys.readouterr().out)
    results = {
        name: {r["operator"]: r["result"] for r in records if r["implementation"] == name}
        for name in ("shifted", "bare")
    }
    assert set(results["shifted"].values()) == {"failed"}
    assert results["bare"] == {
        "deepcnet, zero": "passed",
        "deepcnet, ground_state": "passed",
        "vgg-plain, zero": "unsupported",
        "invariant-mnist, zero": "passed",
    }
    reasons = {r["reason"] for r in records if r["result"] == "unsupported"}
    assert reasons == {"layer 'norm1': norms nothing"}


@pytest.mark.usefixtures("few_cases")
def test_check_passes_what_is_right_and_shows_what_is_unsupported(tmp_path, capsys):
    path = tmp_path / "half.py"
    path.write_text(
        "from impls.gather import Gather\nfrom bench.operators import MaxPooling\n"
        "class Half(Gather):\n    name = 'half'\n"
        "    def unsupported(self, operator, dtype, device):\n"
        "        return 'pools nothing' if isinstance(operator, MaxPooling) else None\n"
    )
    assert main(["check", str(path), "--dtype", "float64", "--examples", "5", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    pooling = [record for record in records if record["operator"] == "max_pooling"]
    assert {record["result"] for record in pooling} == {"unsupported"}
    assert {record["reason"] for record in pooling} == {"pools nothing"}
    assert {r["result"] for r in records if r["operator"] == "full"} == {"passed"}
