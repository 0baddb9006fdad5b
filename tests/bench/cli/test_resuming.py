"""What `--resume` of a run that is complete makes of the options that are given."""

from dataclasses import replace

import pytest
from stored_runs import OK, header, unit

from bench.cli.main import main
from bench.phases import Phase
from bench.results.schema import ImplementationRecord, Run, Settings
from bench.results.store import write

NAME = "2d-submanifold-k3-c32-grid96-uniform-1%"
COMMAND = (
    *("run", "quick", "--impl", "gather", "--phase", "forward", "--workload", NAME),
    *("--seconds", "0.02", "--processes", "1"),
)


@pytest.fixture
def resume(tmp_path):
    """Make a complete run of `COMMAND`, and resume it with more options."""
    target = tmp_path / "run.json"
    record = ImplementationRecord(
        "gather",
        "of long ago",
        "here",
        starts_dense=False,
        unavailable="",
        ledger={"forward": "all"},
    )
    cell = replace(OK, workload=NAME, implementation="gather")
    begun = replace(
        header(planned=(NAME,)),
        settings=Settings(0.02, 0.005, 1, 1, 0, 120.0, (Phase.FORWARD,)),
        implementations=(record,),
        command=("sparsebench", *COMMAND),
    )
    write(Run(begun, (replace(unit(NAME), cells=(cell,)),), "2026-11-21T03:00:00+00:00"), target)
    return lambda *more: main([*COMMAND, "--resume", f"{target}.partial", *more])


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (("--impl", "masked"), "implementations"),
        (("--seconds", "3"), "settings"),
        (("--phase", "decode", "--threads", "2"), "settings"),
        (("--workload", "3d*"), "choice of workloads"),
        (("--dtype", "float64", "--impl", "gather,dense"), "implementations, element types"),
    ],
)
def test_other_options_than_a_complete_run_was_measured_with_are_refused(
    given, what, resume, capsys
):
    assert resume(*given) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"run.json is complete, and differs in its {what}: it was measured with" in told.err
    assert "`sparsebench run quick --impl gather " in told.err
    assert told.err.count("\n") == 1


def test_a_complete_run_takes_the_options_that_it_was_measured_with(resume, capsys):
    assert resume("--seed", "0", "--wait", "--json") == 0
    told = capsys.readouterr()
    assert told.err.endswith("run.json is complete\n")
    assert NAME in told.out


def test_several_devices_are_refused_of_a_complete_run_as_of_an_unfinished_one(resume, capsys):
    assert resume("--device", "auto") == 2
    assert "--resume takes --device cpu or cuda" in capsys.readouterr().err
