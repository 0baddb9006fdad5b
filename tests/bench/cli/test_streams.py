"""What a command says, and where: on standard output, in its run file."""

import json
import os
import subprocess
import sys

import pytest

from bench.cli.main import main
from bench.cli.output import print_table
from bench.exit_codes import ExitCode
from bench.results.store import load, write
from tests.reports.synthetic_runs import make_run, workload

ONE = ["run", "quick", "--workload", "2d-submanifold-k3-c32-grid96-uniform-1%"]
FAST = ["--impl", "dense", "--phase", "forward", "--seconds", "0.01", "--processes", "1"]
NOTHING_MORE = """
from impls.gather import Gather

class Mine(Gather):
    name = "mine"
    origin = ""
"""
PRINTING = """
from impls.gather import Gather

class Printing(Gather):
    name = "printing"

    def unavailable(self, device):
        print("loading the kernels")
        return "not today"
"""


def test_what_a_plugin_prints_while_it_is_checked_is_no_part_of_the_json(tmp_path, capfd):
    path = tmp_path / "printing.py"
    path.write_text(PRINTING)
    assert main(["check", str(path), "--dtype", "float64", "--json"]) == 3
    out, err = capfd.readouterr()
    assert [record["reason"] for record in json.loads(out)] == ["not today"]
    assert "loading the kernels" in err


def test_a_closed_standard_output_is_nobodys_fault(tmp_path):
    target = tmp_path / "errors"
    with target.open("wb") as errors:
        done = subprocess.run(
            ["/bin/sh", "-c", '"$0" -m bench list quick >&-', sys.executable],
            stderr=errors,
            check=False,
        )
    assert (done.returncode, target.read_text()) == (0, "")


@pytest.mark.parametrize("command", ["list", "compare A A --all", "run quick --report -o b.json"])
def test_who_has_read_enough_ends_a_command_as_a_pipe_does(command, tmp_path):
    """Not with 1, which says that something became slower."""
    run = tmp_path / "A"
    write(make_run([workload(f"w{number}", 0.1) for number in range(9)]), run)
    arguments = [str(run) if word == "A" else word for word in command.split()]
    if arguments[0] == "run":
        arguments += [*ONE[2:], *FAST]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, "Traceback" in done.stderr) == (ExitCode.BROKEN_PIPE, False)
    if arguments[0] == "run":
        assert {path.name for path in tmp_path.iterdir()} >= {"b.json", "b.html"}


def test_a_terminal_without_a_width_gets_whole_lines(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "0")
    print_table("Things", [{"name": "one", "what": "a thing of some length"}])
    assert "a thing of some length" in capsys.readouterr().out


def test_a_run_that_makes_its_page_does_not_say_how_to_make_one(tmp_path, capsys):
    assert main([*ONE, *FAST, "-o", str(tmp_path / "a.json"), "--report"]) == 0
    first = capsys.readouterr().out.splitlines()
    assert first[-2:] == [f"written: {tmp_path}/a.json", f"report: {tmp_path}/a.html"]


def test_the_command_that_makes_a_page_can_be_pasted(tmp_path, capsys):
    target = tmp_path / "my run.json"
    assert main([*ONE, *FAST, "-o", str(target)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"written: {target}; `sparsebench report '{target}'` makes a page of it"


def test_a_run_file_tells_the_name_of_a_plugin_s_file_and_not_where_it_lies(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(NOTHING_MORE)
    target = tmp_path / "a.json"
    assert main([*ONE, *FAST, f"--impl={path}", "-o", str(target)]) == 0
    capsys.readouterr()
    (record,) = load(target).header.implementations
    assert (record.origin, record.file) == ("mine.py", "mine.py")
