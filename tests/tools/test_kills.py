"""The tool that kills runs: it finds what is lost, and nothing where nothing is."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tools import kills
from tools.kills import kill_again_and_again

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
PUBLISHED = ROOT / "tests" / "bench" / "results" / "golden" / "run-schema-1.json"
RUN = f"""
import sys, time
from dataclasses import replace
from pathlib import Path
from bench.results.schema import Run
from bench.results.store import Journal, load

whole = load(Path({str(PUBLISHED)!r}))
option, path = sys.argv[1:]
journal = Journal(Path(path.removesuffix(".partial")))
if not journal.path.exists():
    journal.begin(whole.header)
if journal.completed():
    sys.exit()
(unit,) = whole.units
units = [
    replace(
        unit,
        workload=replace(unit.workload, name=name),
        cells=tuple(replace(cell, workload=name) for cell in unit.cells),
    )
    for name in ("w0", "w1", "w2")
]
done = len(journal.read().units)
for unit in units[done:]:
    time.sleep(0.02)
    ADD
journal.finish(Run(whole.header, tuple(journal.read().units), whole.finished))
"""
SAFE = "journal.add(unit)"
CARELESS = """
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[: len(content) // 2])
    time.sleep(0.3)  # long enough for some kill to fall into it
    journal.path.write_bytes(content)
    journal.add(unit)
"""
FORGETFUL = "done and unit.workload.name == 'w2' or journal.add(unit)"


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """Kill a run that adds units in some way, so often; return the tally."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def kill(add, count):
        path = tmp_path / "run.py"
        path.write_text(RUN.replace("ADD", add))
        return kill_again_and_again([sys.executable, str(path)], tmp_path, count, seed=1)

    return kill


def test_nothing_is_lost_of_a_journal_that_is_killed(killed):
    tally = killed(SAFE, 25)
    assert tally.faults == []
    assert tally.kills == 25


@pytest.mark.parametrize("add", [CARELESS, FORGETFUL], ids=["careless", "forgetful"])
def test_a_run_that_loses_units_is_found_out(killed, add):
    assert killed(add, 25).faults


def test_a_file_may_go_while_it_is_looked_at(tmp_path):
    path = tmp_path / "run.json.partial"

    def come_and_go():
        for _ in range(3000):
            path.write_text("a")
            path.unlink()

    with ThreadPoolExecutor() as pool:
        coming_and_going = pool.submit(come_and_go)
        while not coming_and_going.done():
            assert kills._look(path)[0] in {-1, 0, 1}


def test_the_command_gives_the_figures(monkeypatch, capsys):
    tally = kills.Tally(kills=3, sweeps=1, faults=["a unit is gone"])
    monkeypatch.setattr(kills, "kill_again_and_again", lambda *_: tally)
    assert kills.main(["--kills", "3"]) == 1
    told = capsys.readouterr().out
    assert "FAULT: a unit is gone" in told
    assert "3 kills, 1 runs completed" in told
