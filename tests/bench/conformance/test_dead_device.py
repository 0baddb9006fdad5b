"""A conformance case that kills the GPU's context ends the command; a stand-in for the GPU."""

import pytest
import torch

from bench.cli.main import main
from bench.conformance import checks
from bench.conformance.checks import Outcome, Result
from bench.measure import plan

ANYWHERE = """
from impls.gather import Gather

class Anywhere(Gather):
    name = "anywhere"

    def unavailable(self, device):
        return None
"""


@pytest.fixture
def command(tmp_path, monkeypatch, checks_here):
    """Check on a GPU where every case from a number on fails; the context may be dead by then."""
    path = tmp_path / "anywhere.py"
    path.write_text(ANYWHERE)
    monkeypatch.setattr(plan, "check_device", lambda _: torch.device("cuda"))

    def run(*, fails_from, is_dead):
        done = []

        def checked(*arguments):
            done.append(arguments)
            if len(done) < fails_from:
                return Outcome(Result.PASSED)
            return Outcome(Result.FAILED, "RuntimeError: CUDA error")

        def synchronize(device):
            assert device.type == "cuda"
            if is_dead:
                raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

        monkeypatch.setattr(checks, "_checked", checked)
        monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
        arguments = ["check", str(path), "--dtype", "float32", "--examples", "3"]
        return main([*arguments, "--device", "cuda"]), len(done)

    return run


def test_a_dead_context_ends_the_check_with_the_name_of_the_case(command, capsys):
    assert command(fails_from=3, is_dead=True) == (2, 3)
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "anywhere left the GPU unusable for this process at " in err
    assert err.endswith("checked: CUDA error: an illegal memory access was encountered\n")


def test_a_dead_context_of_a_drawn_case_is_told_with_what_was_drawn(command, capsys, monkeypatch):
    monkeypatch.setattr("bench.conformance.cases.all_cases", lambda _: [])
    code, count = command(fails_from=2, is_dead=True)
    assert (code, count) == (2, 2)
    err = capsys.readouterr().err
    assert "at a drawn case in float32" in err
    assert "; operator " in err
    assert "; coordinates [" in err


def test_a_failure_that_leaves_the_gpu_alive_is_one_among_others(command, capsys):
    code, count = command(fails_from=3, is_dead=False)
    assert code == 4
    assert count > 3
    assert "FAILED" in capsys.readouterr().out
