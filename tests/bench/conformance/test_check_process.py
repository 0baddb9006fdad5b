"""What ends the process that checks it has failed that case, and the others are checked after it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.conformance.messages import Order, Record
from bench.conformance.processes import outlived
from bench.errors import UserError

PLUGINS = """
import ctypes
from impls.gather import Gather

class Crashing(Gather):
    name = "crashing"

    def convolution(self, *_):
        ctypes.string_at(0)

class Missing(Gather):
    name = "missing"

    def unavailable(self, device):
        return "not today"
"""


def test_a_crash_is_a_failed_case_and_the_next_implementation_is_asked(tmp_path, capfd):
    path = tmp_path / "plugins.py"
    path.write_text(PLUGINS)
    arguments = ["check", str(path), "--dtype", "float64", "--examples", "1"]
    assert main([*arguments, "--json"]) == 4
    out, err = capfd.readouterr()
    assert err == ""
    first, second = json.loads(out)
    assert (first["implementation"], second["implementation"]) == ("crashing", "missing")
    assert first["case"] == "full-k1s1p0d1-2d-0-float64"
    assert first["result"] == "failed"
    assert first["reason"] == (
        "the process that checks it is killed by SIGSEGV; nothing after it was checked"
    )
    assert (second["result"], second["reason"]) == ("unsupported", "not today")


REFUSING = """
from impls.gather import Gather

class Refusing(Gather):
    name = "refusing"

    def unsupported(self, *_):
        return "nothing"
"""


def test_nothing_is_left_in_the_folder_that_one_checks_in(tmp_path, monkeypatch, capfd):
    path = tmp_path / "plugins.py"
    path.write_text(REFUSING)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["check", str(path), "--dtype", "float64", "--examples", "2"]) in {0, 3}
    assert capfd.readouterr().err == ""
    assert not list(here.iterdir())
    assert (tmp_path / "cache" / "sparsebench" / "hypothesis").is_dir()


HANGING = """
import os, time
from pathlib import Path
from impls.gather import Gather

class Hanging(Gather):
    name = "hanging"

    def convolution(self, *_):
        Path(__file__).with_name("unfinished").write_text(str(os.getpid()))
        Path(__file__).with_name("unfinished").rename(Path(__file__).with_name("process"))
        time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process ends with its parent on Linux only")
def test_who_hangs_ends_with_the_command_however_that_ends(tmp_path):
    path, written = tmp_path / "hanging.py", tmp_path / "process"
    path.write_text(HANGING)
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "check", str(path), "--dtype", "float64"]
    ) as command:
        assert comes_true(written.exists)
        checking = int(written.read_text())
        assert checking != command.pid
        command.kill()
    assert comes_true(lambda: not is_alive(checking))


LEAVING = """
import subprocess
from pathlib import Path
from impls.gather import Gather

class Leaving(Gather):
    name = "leaving"
    left = []

    def encode(self, batch):
        if not self.left:
            self.left.append(subprocess.Popen(["sleep", "1000"]))
            Path(__file__).with_name("process").write_text(str(self.left[0].pid))
        return super().encode(batch)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_what_a_plug_in_started_ends_with_its_check(tmp_path, capfd):
    path = tmp_path / "leaving.py"
    path.write_text(LEAVING)
    assert main(["check", str(path), "--dtype", "float64", "--examples", "1"]) == 0
    capfd.readouterr()
    assert comes_true(lambda: not is_alive(int((tmp_path / "process").read_text())))


def comes_true(condition):
    """Whether it does within minutes: machines may be busy."""
    until = time.monotonic() + 300
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # where nobody waits for orphans


def test_who_starts_the_process_imports_no_torch_and_so_opens_no_gpu(tmp_path):
    code = (
        "import sys\nfrom bench.cli.main import main\n"
        f"assert main(['check', {str(tmp_path / 'none.py')!r}]) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


CHECKS = """
import os, signal, sys, time
from bench.conformance.messages import ORDERS, Done, Record, Refused, Started
import msgspec

descriptor, order = int(sys.argv[1]), ORDERS.decode(sys.argv[2])
tell = lambda event: os.write(descriptor, msgspec.json.encode(event) + b"\\n")

def check_one(number):
    tell(Started(number, 2, f"i{number}", "full", "one", "float64", 0, 2))
    tell(Record(f"i{number}", "full", "one", "float64", "passed", ""))
    tell(Started(number, 2, f"i{number}", "full", "two", "float64", 1, 2))

"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Have a process check whose module is given."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(code, timeout=60.0, tell=lambda _: None):
        (tmp_path / "checks_of_a_test.py").write_text(CHECKS + code)
        order = Order("i0,i1", None, "cpu", 1, networks=False)
        return list(outlived("checks_of_a_test", order, timeout, tell))

    return run


@pytest.mark.parametrize(
    ("harm", "timeout", "words"),
    [
        ("os._exit(0)", 60.0, "exits with status 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 60.0, "is killed by SIGKILL"),
        # The sound one after it must show signs of life as often, on whatever machine.
        ("time.sleep(1000)", 5.0, "shows no sign of life for 5 seconds"),
    ],
)
def test_who_ends_a_process_fails_the_case_at_work_and_costs_the_others_none(
    check, harm, timeout, words
):
    code = f"check_one(order.first)\nif order.first == 0:\n    {harm}\ntell(Done())"
    done = check(code, timeout)
    reason = f"the process that checks it {words}; nothing after it was checked"
    assert done == [
        Record("i0", "full", "one", "float64", "passed", ""),
        Record("i0", "full", "two", "float64", "failed", reason),
        Record("i1", "full", "one", "float64", "passed", ""),
    ]


def test_who_waits_is_told_of_every_case_that_begins(check):
    told = []
    check("check_one(0)\ncheck_one(1)\ntell(Done())", tell=told.append)
    assert [(each.implementation, each.case, each.done, each.total) for each in told] == [
        ("i0", "one", 0, 2),
        ("i0", "two", 1, 2),
        ("i1", "one", 0, 2),
        ("i1", "two", 1, 2),
    ]


def test_no_process_is_started_after_the_last_implementation(check):
    *_, last = check("check_one(1)\nos._exit(3)")
    assert (last.implementation, last.result) == ("i1", "failed")


def test_a_process_that_ends_before_the_first_case_is_a_mistake_to_be_told(check):
    with pytest.raises(UserError, match="the process that is to check exits with status 3"):
        check("os._exit(3)")


def test_what_a_process_refuses_is_told_in_its_words(check):
    with pytest.raises(UserError, match=r"^no such thing$"):
        check("tell(Refused('no such thing'))")
