import json
import re
import sys
from importlib.metadata import EntryPoint

import pytest
from refusals import refusal

from bench.cli.main import main
from bench.plugins.installed import SUITES, installed_entries
from bench.plugins.suites import load_suite


def test_the_projects_suites_are_known_and_load():
    assert {"quick", "layers", "real"} <= installed_entries(SUITES).keys()
    assert load_suite("quick").name == "quick"


SUITE_OF = """
from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload
from suites.patterns import Uniform

def workload(name, input=Uniform((8, 8), 1, 0.5)):
    return Workload(name, single(max_pooling(2, 2, 2)), input, channels=1)

def workloads():
    return {made}

SUITE = Suite("mine", "mine", workloads)
"""


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("()", "has no workloads"),
        ("(workload('a'), workload('b'), workload('a'))", "has two workloads called 'a'"),
        ("(workload('a, b'),)", "has a workload called 'a, b'; options list names between commas"),
        ("(workload(' a'),)", "has a workload called ' a'; "),
        ("(workload(''),)", "has a workload called ''; "),
        ("(workload(3),)", "has a workload called 3; "),
        ("1 / 0", "cannot make its workloads: ZeroDivisionError: .* \\(its_suite.py:11\\)"),
        ("None", "workloads\\(\\) makes None, which is no bench.workload.Workload"),
        (
            "(workload('a'), [])",
            "workloads\\(\\) makes \\[\\], which is no bench.workload.Workload",
        ),
        (
            "(Workload('a', max_pooling(2, 2, 2), Uniform((8, 8), 1, 0.5), 1),)",
            "workload 'a': MaxPooling is no bench.network.Network; bench.network.single makes one",
        ),
        (
            "(workload('a', input=Uniform((8, 8), 1, object)),)",
            "a definition is made of numbers, words, tuples and dataclasses, not of <class 'object'>",
        ),
        ("(workload('a', input=5),)", "workload 'a': its input 5 is no dataclass"),
    ],
)
def test_a_suite_whose_workloads_are_none_is_refused_with_the_reason(
    made, words, entries, tmp_path, monkeypatch
):
    (tmp_path / "its_suite.py").write_text(SUITE_OF.replace("{made}", made))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "its_suite", raising=False)
    entries(EntryPoint("mine", "its_suite:SUITE", SUITES))
    assert re.match(f"suite 'mine':? {words}", refusal(load_suite, "mine"))


def test_what_a_suite_prints_is_no_part_of_what_a_command_prints(
    entries, tmp_path, monkeypatch, capsys
):
    text = SUITE_OF.replace("{made}", "print('made') or (workload('a'),)")
    (tmp_path / "its_suite.py").write_text("print('imported')\n" + text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "its_suite", raising=False)
    entries(EntryPoint("mine", "its_suite:SUITE", SUITES))
    load_suite("mine")
    assert capsys.readouterr() == ("", "imported\nmade\n")


def test_a_suite_is_known_by_one_name(entries, tmp_path, monkeypatch):
    (tmp_path / "its_suite.py").write_text(SUITE_OF.replace("{made}", "(workload('a'),)"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "its_suite", raising=False)
    entries(EntryPoint("yours", "its_suite:SUITE", SUITES))
    words = "suite 'yours': its_suite:SUITE calls itself 'mine', its entry point 'yours'"
    assert refusal(load_suite, "yours") == words


def test_an_unknown_suite_is_refused_with_the_known_ones(entries):
    entries(EntryPoint("quick", "suites.quick:SUITE", SUITES))
    assert refusal(load_suite, "slow") == "unknown suite 'slow'; the suites are quick"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere.to_be:SUITE", "cannot be loaded: ModuleNotFoundError"),
        ("suites.quick:NOTHING", "cannot be loaded: AttributeError"),
        ("suites.quick:workloads", "suites.quick:workloads is not a bench.workload.Suite"),
    ],
)
def test_a_suite_that_cannot_be_loaded_is_refused_with_its_error(value, words, entries):
    entries(EntryPoint("mine", value, SUITES))
    assert re.match(r"suite 'mine'", refusal(load_suite, "mine"))
    assert words in refusal(load_suite, "mine")


def test_a_broken_suite_is_listed_as_broken_beside_the_others(entries, capsys):
    entries(
        EntryPoint("quick", "suites.quick:SUITE", SUITES),
        EntryPoint("torn", "no_such_module:SUITE", SUITES),
    )
    assert main(["list", "--json"]) == 0
    quick, torn = json.loads(capsys.readouterr().out)["suites"]
    assert (quick["name"], quick["workloads"] > 1) == ("quick", True)
    assert torn == {
        "name": "torn",
        "workloads": 0,
        "description": "broken: suite 'torn' cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module'",
    }
