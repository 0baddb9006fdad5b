"""Suites that are files: found, refused, measured, shown with the command that measures them again."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from refusals import refusal

from bench.cli.main import main
from bench.plugins.suites import load_suite
from bench.results.schema import Status
from bench.results.store import load, merge
from reports.commands import command, impl_arguments
from reports.speed import compare

PROJECT = Path(__file__).parents[3]
EXAMPLE = PROJECT / "docs" / "examples" / "my_layers.py"
FAST = ["--impl", "gather", "--phase", "forward", "--seconds", "0.02", "--processes", "1"]
TINY = """
from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload
from suites.patterns import Uniform

def workloads():
    return (Workload("pool", single(max_pooling(2, 2, 2)), Uniform((8, 8), 1, 0.5), 1),)

SUITE = Suite("tiny", "one pooling", workloads)
"""


@pytest.fixture
def suite_file(tmp_path):
    def write(text=TINY, name="tiny.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_suite_is_loaded_from_its_file_by_the_commands_and_by_other_processes(suite_file):
    path = suite_file()
    suite = load_suite(str(path))
    assert (suite.name, suite.file, suite.source) == ("tiny", str(path), str(path))
    assert load_suite(suite.source).find("pool").version() == suite.find("pool").version()
    quick = load_suite("quick")
    assert (quick.file, quick.source) == ("", "quick")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", "does not import: ModuleNotFoundError"),
        ("raise SystemExit(3)", "does not import: SystemExit"),
        ("import os, signal; os.kill(os.getpid(), 9)", "the process that tries it is killed by"),
        (
            TINY.replace("return (Work", "import os; os._exit(3)\n    return (Work"),
            "the process that tries it exits with status 3",
        ),
        ("SUITE = 3", r"has no `SUITE = bench.workload.Suite\(...\)`"),
        (TINY.replace('"tiny"', '"a b"'), "calls its suite 'a b'; a name has letters"),
        (TINY.replace('"tiny"', "3"), "calls its suite 3; a name has letters"),
        (TINY.replace('"tiny"', '"quick"'), "calls its suite 'quick', and so does suites.quick"),
    ],
)
def test_a_file_without_a_sound_suite_is_refused_with_the_reason(text, words, suite_file):
    path = suite_file(text)
    assert re.match(f"suite file {path}:? {words}", refusal(load_suite, str(path)))


def test_a_missing_file_is_no_suite(tmp_path):
    path = tmp_path / "none.py"
    assert refusal(load_suite, str(path)) == f"suite file {path} does not exist"
    words = f"suite file {tmp_path} is a folder; name a file in it"
    assert refusal(load_suite, f"{tmp_path}/") == words


def test_a_file_whose_name_is_not_utf8_is_refused(suite_file, capsys):
    path = suite_file(name="caf\udce9.py")
    words = f"suite file {str(path)!a} is not named in UTF-8: rename it"
    assert refusal(load_suite, str(path)) == words
    assert main(["run", str(path), *FAST]) == 2
    assert words in capsys.readouterr().err


def test_a_suites_workloads_that_leave_are_refused(suite_file):
    path = suite_file(TINY.replace("return (Work", "raise SystemExit\n    return (Work"))
    assert refusal(load_suite, str(path)).startswith("suite 'tiny' cannot make its workloads: Syst")


def test_a_file_is_measured_where_it_is_named_by_a_relative_path(
    suite_file, tmp_path, monkeypatch, capsys
):
    suite_file()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "tiny.py", *FAST]) == 0
    (written,) = (tmp_path / "runs").glob("*-tiny-cpu.json")
    measured = load(written)
    assert [cell.status for cell in measured.cells] == [Status.OK]
    assert measured.header.suites == ("tiny",)
    assert measured.header.suite_files == {"tiny": "tiny.py"}
    assert str(tmp_path) not in written.read_text()
    assert main(["list", "tiny.py"]) == 0
    assert re.search(r"suite tiny\s.*pool", capsys.readouterr().out, re.DOTALL)


def test_a_commands_own_process_makes_the_workloads_once(suite_file, tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    note = (
        f"import os\n    with open({str(notes)!r}, 'a') as stream:\n"
        "        stream.write(f'{os.getpid()} ')\n    return (Work"
    )
    path = suite_file(TINY.replace("return (Work", note))
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(path), *FAST]) == 0
    assert notes.read_text().split().count(str(os.getpid())) == 1


def test_a_pages_command_names_the_file_as_the_run_was_given_it(suite_file, tmp_path, monkeypatch):
    path = suite_file()
    target = tmp_path / "run.json"
    monkeypatch.setattr("sys.argv", ["sparsebench", "run", str(path), *FAST])
    assert main(["run", str(path), *FAST, "-o", str(target)]) == 0
    measured = load(target)

    def start(run):
        return command(run, compare(run).tables[0], impl_arguments(run)).start

    assert start(measured) == f"sparsebench run {path} --workload pool"
    for words, shown in (
        ("pytest test_all.py", "tiny.py"),
        ("pytest x/tiny.py::test_it", "x/tiny.py"),
        ("sparsebench run --impl x/tiny.py y/tiny.py", "y/tiny.py"),
        ("sparsebench run --impl=x/tiny.py y/tiny.py", "y/tiny.py"),
        ("pytest --sparsebench-impl x/tiny.py y/tiny.py", "y/tiny.py"),
    ):
        header = replace(measured.header, command=tuple(words.split()))
        told = start(replace(measured, header=header))
        assert told == f"sparsebench run {shown} --workload pool"
    other = replace(measured, header=replace(header, suites=("quick",), suite_files={}))
    assert merge([other, measured]).header.suite_files == {"tiny": "tiny.py"}


def test_a_test_file_may_hold_its_own_suite(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    items = (PROJECT / "suites" / "bench_quick.py").read_text().replace('"quick"', "__file__")
    pytester.makepyfile(test_tiny=items + TINY)
    result = pytester.runpytest_subprocess("--sparsebench-impl=dense,gather", "-q")
    result.assert_outcomes(passed=14)


def test_two_test_files_whose_suites_share_a_name_are_refused(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    items = (PROJECT / "suites" / "bench_quick.py").read_text().replace('"quick"', "__file__")
    pytester.makepyfile(test_one=items + TINY, test_two=items + TINY)
    result = pytester.runpytest_subprocess("--sparsebench-impl=gather", "-q")
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*sparsebench: error: *test_two.py calls its suite 'tiny', and so does another file*"]
    )


def test_the_example_of_a_network_is_right(tmp_path):
    target = tmp_path / "run.json"
    path = str(EXAMPLE.with_name("my_network.py"))
    assert main(["run", path, *FAST, "--impl", "gather,dense", "-o", str(target)]) == 0
    cells = load(target).cells
    assert [cell.status for cell in cells] == [Status.OK] * 4


def test_the_example_is_what_the_readme_shows():
    _, shown = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert shown == EXAMPLE.read_text()
    assert len(load_suite(str(EXAMPLE)).workloads()) == 6
