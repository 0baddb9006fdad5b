"""An implementation against the fastest of others, by ratios that were planted."""

import pytest

from bench.phases import Phase
from bench.results.store import write
from tests.reports.synthetic_runs import DENSE_SECONDS, Noise, make_run, workload
from tools.rivals import main, margins

QUIET = Noise(rounds=0.003, processes=0.0005)
FACTORS = {"one": (3.0, 2.0), "two": (1.5, 4.5), "three": (0.5, 9.0)}


@pytest.fixture
def run():
    def times(name, record):
        return DENSE_SECONDS * dict(zip(("a", "b"), FACTORS[record.name], strict=True)).get(name, 1)

    records = [workload(name, 0.1) for name in FACTORS]
    return make_run(records, ("mine", "a", "b"), times=times, phases=(Phase.FORWARD,), noise=QUIET)


def test_the_fastest_rival_counts_on_every_workload(run):
    found = margins(run, "mine", ("a", "b"))[Phase.FORWARD]
    assert [(each.workload, each.rival) for each in found] == [
        ("three", "a"),
        ("two", "a"),
        ("one", "b"),
    ]
    for each, planted in zip(found, (0.5, 1.5, 2.0), strict=True):
        assert each.times.estimate == pytest.approx(planted, rel=0.02)


def test_a_line_for_each_phase(run, tmp_path, capsys):
    write(run, tmp_path / "run.json")
    assert main([str(tmp_path / "run.json"), "--of", "mine", "--rivals", "a,b"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("forward: 1.1")
    assert "times as fast in the mean of 3; not slower in 2; " in line
    assert (
        main([str(tmp_path / "run.json"), "--of", "mine", "--rivals", "a", "--workload", "o"]) == 0
    )
    assert "in the mean of 2" in capsys.readouterr().out
