"""A plug-in whose import ends the process ends a forked one, and is told in a line."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from bench.cli.main import main
from bench.plugins.trial import how_it_ends

HARMS = {
    "import ctypes; ctypes.string_at(0)": "is killed by SIGSEGV",
    "import os; os._exit(0)": "exits with status 0",
    "import os; os.closerange(3, 100); os._exit(7)": "exits with status 7",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "is killed by SIGKILL",
    "raise KeyboardInterrupt": "raises KeyboardInterrupt",
}


@pytest.mark.parametrize(("code", "words"), HARMS.items(), ids=HARMS)
def test_a_plug_in_file_that_ends_its_process_when_imported_is_one_line(
    code, words, tmp_path, capsys
):
    path = tmp_path / "harm.py"
    path.write_text(code)
    assert main(["run", "quick", "--impl", str(path), "-o", str(tmp_path / "run.json")]) == 2
    told = capsys.readouterr().err.strip()
    assert told == f"sparsebench: error: plug-in file {path}: the process that imports it {words}"


def test_work_that_never_ends_is_given_up():
    assert (
        how_it_ends(lambda: time.sleep(1000), timeout=0.5)
        == "does not come back within 0.5 seconds"
    )


def test_what_is_survived_is_no_harm_exceptions_included(capfd):
    assert how_it_ends(lambda: print("hello")) is None
    assert how_it_ends(lambda: 1 / 0) is None
    assert how_it_ends(sys.exit) is None
    assert capfd.readouterr().out == ""


def test_what_passes_handlers_of_exceptions_is_named():
    class OddError(BaseException):
        pass

    def fail():
        raise OddError("with words")

    assert how_it_ends(fail) == "raises OddError"


def test_whoever_is_interrupted_meanwhile_leaves_nothing_behind(tmp_path, monkeypatch):
    note = tmp_path / "number"

    def hang():
        note.write_text(str(os.getpid()))
        time.sleep(60)

    def interrupt(*_):
        while not (note.exists() and note.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.plugins.trial.select.select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        how_it_ends(hang)
    assert not psutil.pid_exists(int(note.read_text()))


def test_what_it_leaves_behind_is_ended(tmp_path):
    note = tmp_path / "number"

    def leave_a_child():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        note.write_text(str(child.pid))

    assert how_it_ends(leave_a_child) is None
    number = int(note.read_text())
    end = time.monotonic() + 600
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
