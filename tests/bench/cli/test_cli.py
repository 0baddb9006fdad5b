"""The command line as its users meet it: what it prints, what it writes, how it exits."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.cli import main as cli
from bench.cli import run
from bench.cli.main import main
from bench.exit_codes import ExitCode
from bench.measure import processes
from bench.results.store import load
from suites.data.catalogue import MNIST

PLUGINS = Path(__file__).parents[2] / "plugins"
FAST = ["--seconds", "0.05", "--processes", "1"]
ONE = ["--workload", "2d-submanifold-k3-c32-grid96-uniform-1%"]


def command(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_help_answers_fast_because_it_imports_no_torch():
    before = processor_seconds_of_children()
    done = command("--help")
    assert done.returncode == 0
    assert processor_seconds_of_children() - before < 2
    imported = command_modules()
    assert not {"torch", "numpy", "rich", "matplotlib"} & imported


def processor_seconds_of_children():
    """Unlike time on the clock, this does not depend on what else runs."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def command_modules():
    code = (
        "import sys, contextlib, io\n"
        "from bench.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'])\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nosuch"], "unknown suite 'nosuch'"),
        (["run", "quick", "--impl", "nosuch"], "unknown implementation 'nosuch'"),
        (["run", "quick", "--impl", "no/such.py"], "does not exist"),
        (["run", "quick", "--impl", ","], "names nothing"),
        (["run", "quick", "--impl", "caf\udce9.py"], "'caf\\udce9.py' is not UTF-8"),
        (["check", "caf\udce9.py"], "'caf\\udce9.py' is not UTF-8"),
        (["run", "quick", "--workload", "nosuch*"], "no workload of suite 'quick' matches"),
        (["run", "quick", "--dtype", "float8"], "unknown dtype 'float8'"),
        (
            ["run", "quick", "--dtype", "tf32"],
            "tf32 is what a GPU's tensor cores multiply; cpu has none",
        ),
        (["check", "dense", "--dtype", "tf32"], "there are no cases in tf32"),
        (["run", "quick", "--phase", "sideways"], "unknown phase 'sideways'"),
        (["run", "quick", "--device", "abacus"], "unknown device 'abacus'"),
        (["run", "quick", "--device", "meta"], "is not measured"),
        (["run", "quick", "--threads", "0"], "'0' is not a whole number from 1 to 1024"),
        (["run", "quick", "--threads", "99999"], "'99999' is not a whole number from 1 to 1024"),
        (["ab", "HEAD", "--threads", "99999"], "'99999' is not a whole number from 1 to 1024"),
        (
            ["run", "quick", "--seed", "-1"],
            "'-1' is not a whole number from 0 to 9223372036854775807",
        ),
        (["ab", "HEAD", "--seed", "x"], "'x' is not a whole number from 0 to 9223372036854775807"),
        (["history", "alerts", "--last", "0"], "'0' is not a whole number of at least 1"),
        (["run", "quick", "--processes", "1.5"], "'1.5' is not a whole number of at least 1"),
        (["run", "quick", "--seconds", "-1"], "'-1' is not a positive, finite number"),
        (["run", "quick", "--seconds", ""], "'' is not a positive, finite number"),
        (["run", "quick", "--timeout", "inf"], "'inf' is not a positive, finite number"),
        (["run", "quick", "--shard", "a"], "'a' is not I/N with 1 <= I <= N, such as 1/4"),
        (["run", "quick", "--shard", "3/2"], "'3/2' is not I/N"),
        (
            ["train", "mnist", "--seed", "x"],
            "'x' is not a whole number from 0 to 9223372036854775807",
        ),
        (["run", "quick", "--resume", "nosuch.partial"], "existing .partial file"),
        (["run", "quick", "--resume", "."], "existing .partial file"),
        (["run", "quick", "--output", "."], ". is a folder: name a file"),
        (["run", "quick", "--patience", "3"], "--patience goes with --scheduler"),
        (["check", "nosuch"], "unknown implementation 'nosuch'"),
        (["report", "nosuch.json"], "cannot read nosuch.json"),
        (["list", "nosuch"], "unknown suite 'nosuch'"),
        (["list", "quick", "--impl", "dense"], "choose implementations: leave out the suite"),
        (["list", "quick", "--device", "cuda"], "choose implementations: leave out the suite"),
        (["data", "fetch", "nosuch"], "nosuch"),
        (["run", "quick", "--budget", "3"], "--budget 3; see sparsebench run --help"),
        (["history", "show", "--budget"], "--budget; see sparsebench history show --help"),
        (["history", "show", "--json", "-o", "page.html"], "leave out -o and --open"),
        (["history", "alerts", "--json", "--markdown"], "not allowed with argument --json"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_2(arguments, words, capsys):
    try:
        code = main(arguments)
    except SystemExit as left:
        code = left.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.startswith("sparsebench: error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("def broken(:\n", "does not import: SyntaxError"),
        ("import nosuchmodule\n", "does not import: ModuleNotFoundError"),
        ("x = 1\n", "has no class"),
        ("from impls.gather import Gather\nclass A(Gather):\n    name = 'dense'\n", "'dense'"),
    ],
)
def test_a_plugin_file_that_cannot_be_used_is_named(tmp_path, content, words, capsys):
    path = tmp_path / "plugin.py"
    path.write_text(content)
    assert main(["run", "quick", "--impl", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert words in error
    assert error.count("\n") == 1


def test_list_shows_implementations_and_suites_and_writes_json(capsys):
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = {row["name"] for row in listed["implementations"]}
    assert {"dense", "masked", "gather"} <= names
    suites = {row["name"]: row["workloads"] for row in listed["suites"]}
    assert suites.keys() >= {"quick", "layers", "real"}
    assert main(["list", "quick", "--json"]) == 0
    workloads = json.loads(capsys.readouterr().out)
    assert any("3d" in row["name"] for row in workloads)
    assert suites["quick"] == len(workloads)


def test_run_writes_a_run_file_once_and_report_makes_a_page_of_it(tmp_path, capsys):
    target = tmp_path / "run.json"
    arguments = ["run", "quick", *ONE, *FAST, "--impl", "dense,gather", "-o", str(target)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["statuses"] == {"ok": 10}
    written = target.read_bytes()
    assert len(load(target).cells) == 10

    assert main(arguments) == 2
    assert "written once" in capsys.readouterr().err
    assert target.read_bytes() == written

    assert main(["report", str(target)]) == 0
    page = target.with_suffix(".html").read_text()
    assert "gather" in page
    assert "<svg" in page


def test_run_with_a_wrong_plugin_exits_4_and_says_why(tmp_path, capsys):
    target = tmp_path / "run.json"
    plugins = f"gather,{PLUGINS / 'wrong.py'}"
    arguments = ["--impl", plugins, "--phase", "forward", "-o", str(target)]
    assert main(["run", "quick", *ONE, *FAST, *arguments]) == 4
    assert "incorrect" in capsys.readouterr().out


def test_run_without_its_data_exits_3_and_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path))
    target = tmp_path / "run.json"
    arguments = ["--workload", "mnist-full*", "--impl", "gather", "-o", str(target)]
    assert main(["run", "real", *FAST, *arguments]) == 3
    assert "sparsebench data fetch mnist" in capsys.readouterr().out.replace("\n", "")


def test_run_on_damaged_data_exits_2_with_one_line_and_writes_no_run_file(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for file in MNIST.files:
        (tmp_path / file.path).write_bytes(b"\0" * file.size_bytes)
    target = tmp_path / "run.json"
    arguments = ["--workload", "mnist-full*", "--impl", "gather", "-o", str(target)]
    assert main(["run", "real", *FAST, *arguments]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "-ubyte.gz is not what its publisher has; move it away and get it by" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]  # no journal either


def test_a_name_too_long_for_a_file_is_one_line(tmp_path, capsys):
    target = tmp_path / ("a" * 300 + ".json")
    assert main(["run", "quick", *ONE, *FAST, "--impl", "gather", "-o", str(target)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "File name too long" in line


def test_who_raises_when_asked_is_told_and_stops_nobody(capsys):
    names = f"gather,{PLUGINS / 'unwilling.py'}"
    assert main(["list", "--impl", names, "--json"]) == 0
    statuses = {
        each["name"]: each["status"]
        for each in json.loads(capsys.readouterr().out)["implementations"]
    }
    assert statuses["gather"] == statuses["raises_of_phases"] == "ready"
    assert statuses["raises_when_asked"].startswith(
        "unavailable: RuntimeError: asked at the wrong moment"
    )


def test_an_interruption_ends_a_run_on_two_devices_after_the_first(monkeypatch, tmp_path):
    measured = []

    def run_one(_arguments, plan, _journal, _templates):
        measured.append(plan.device)
        return ExitCode.INTERRUPTED

    class Templates(SimpleNamespace):
        def __init__(self, *_):
            super().__init__(prepare=lambda _: None, close=lambda: None)

    monkeypatch.setattr(processes, "Templates", Templates)
    monkeypatch.setattr(run, "_devices", lambda _: ["cpu", "cpu"])
    monkeypatch.setattr(run, "_run_one", run_one)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quick", "--impl", "gather"]) == ExitCode.INTERRUPTED
    assert measured == ["cpu"]


def started_where_importing_raises(error):
    code = f"""
import sys
class Impatient:
    def find_spec(self, name, *_):
        if name == "bench.cli.main":
            raise {error}
sys.meta_path.insert(0, Impatient())
from bench.__main__ import main
main()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_ctrl_c_while_the_command_line_is_imported_is_one_line():
    done = started_where_importing_raises("KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "sparsebench: interrupted\n")


def test_an_error_that_nobody_foresaw_is_a_traceback_and_no_exit_code_of_a_verdict():
    done = started_where_importing_raises("RecursionError('too deep')")
    assert done.returncode == ExitCode.FAULT
    assert "Traceback" in done.stderr
    assert "RecursionError: too deep\nsparsebench: a fault of sparsebench itself" in done.stderr


@pytest.mark.parametrize(
    ("encoding", "name", "shown"),
    [
        ("utf-8", "café", "café"),
        ("latin-1", "3∞4", "3\\u221e4"),
        ("ascii", "café", "caf\\xe9"),
        ("utf-8", "caf\udce9", "caf\\udce9"),
    ],
)
def test_what_a_terminal_cannot_show_is_written_as_an_escape(encoding, name, shown, tmp_path):
    (tmp_path / name).mkdir()
    surroundings = {
        "SPARSEBENCH_DATA": str(tmp_path / name),
        "PYTHONIOENCODING": encoding,
        "COLUMNS": "1000",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench", "data", "list"],
        capture_output=True,
        check=False,
        env=os.environ | surroundings,
    )
    assert done.returncode == 0, done.stderr
    assert f"Data sets in {tmp_path / shown}" in done.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.html", "x.html is the name of --report's page: call the run file .json"),
        ("taken.json", "taken.html exists and is not a sparsebench html report"),
    ],
)
def test_a_page_that_has_no_place_is_told_before_anything_is_measured(
    name, words, tmp_path, capsys, monkeypatch
):
    (tmp_path / "taken.html").write_text("<!doctype html>a page of somebody else's")
    monkeypatch.setattr("bench.measure.engine.execute", lambda *_: pytest.fail("it was measured"))
    assert main(["run", "quick", *ONE, *FAST, "-o", str(tmp_path / name), "--report"]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def _signals_are_heard():
    """Whoever starts the tests in the background may have them ignored."""
    numbers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, usual) for number, usual in numbers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_are_heard")
def test_who_is_interrupted_again_while_tidying_up_goes_on_tidying_up():
    with cli._ended_as_interrupted() as came:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert came == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("_signals_are_heard")
def test_an_interruption_that_a_library_makes_something_else_of_is_one(monkeypatch, capsys):
    def run(_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main(["list"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "sparsebench: interrupted\n"
