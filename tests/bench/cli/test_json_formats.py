"""What `--json` prints has the keys that docs/json.md lists, and no others."""

from dataclasses import replace
from pathlib import Path

import pytest
from formats_page import (
    ALONE,
    BY_NAME,
    COMPARISON,
    DATA,
    EVERY,
    EXPERIMENTS,
    IN_LOCK_STEP,
    LISTING,
    PRINTED,
    RUN,
    is_as_described,
)
from stored_runs import FAILED, OK, run, unit

from bench.cli.compare import print_changes
from bench.cli.main import main
from bench.cli.summary import print_summary
from bench.comparison import compare_runs
from bench.phases import Phase
from bench.results.schema import GpuConditions, Samples, Timing
from bench.results.store import write

UNFOLD = Path(__file__).parents[3] / "docs" / "examples" / "unfold.py"


def timed(factor):
    rounds = tuple((round(factor * each),) for each in (1000, 1020, 1040, 1010, 1030))
    return Timing("perf_counter_ns", (Samples(0, 1, rounds), Samples(1, 1, rounds)))


@pytest.fixture
def measured():
    """A run on a GPU that tells how it fared, with a failure among its cells."""
    cells = [
        replace(OK, implementation=name, phase=phase, timing=timed(factor), instructions=5)
        for name, factor in (("dense", 1), ("fast", 0.5))
        for phase in (Phase.FORWARD, Phase.FORWARD_COLD)
    ]
    gpu = GpuConditions(3, (1200, 1980), (40, 60), {"power": 1})
    units = [
        replace(
            unit(name),
            cells=tuple(replace(cell, workload=name) for cell in (*cells, FAILED)),
            gpu=gpu,
        )
        for name in ("w0", "w1")
    ]
    return run(*units)


def test_every_section_on_what_is_printed_is_held_here():
    titles = {line.removeprefix("## ") for line in PRINTED.splitlines() if line.startswith("##")}
    held = {title for sections in EVERY for title in sections.values()} | ALONE
    assert titles == held - {BY_NAME, "GpuConditions"}


def test_a_runs_summary_is_as_described(measured, capsys):
    print_summary(measured, Path("run.json"), as_json=True, page_follows=False)
    is_as_described(capsys.readouterr().out, RUN, more=Phase)


def test_a_comparison_is_as_described(measured, tmp_path, capsys):
    write(measured, tmp_path / "run.json")
    assert main(["compare", *[str(tmp_path / "run.json")] * 2, "--json"]) in {0, 3}
    is_as_described(capsys.readouterr().out, COMPARISON)
    changes = compare_runs(measured, measured, paired=True)
    print_changes(changes, as_json=True, markdown=False, everything=False)  # as `ab` does
    is_as_described(capsys.readouterr().out, IN_LOCK_STEP)


def test_what_is_checked_is_as_described(capsys):
    assert main(["check", str(UNFOLD), "--examples", "1", "--dtype", "float32", "--json"]) == 0
    is_as_described(capsys.readouterr().out, {"[]": "CheckedCase"})


@pytest.mark.parametrize(
    ("command", "sections"),
    [
        (["list"], LISTING),
        (["list", "quick"], {"[]": "ListedWorkload"}),
        (["data", "list"], DATA),
        (["train", "--list"], EXPERIMENTS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_lists_are_as_described(command, sections, capsys):
    assert main([*command, "--json"]) == 0
    is_as_described(capsys.readouterr().out, sections)
