"""Verdicts between implementations and their twins, counted."""

from dataclasses import replace

import pytest

from bench.results.store import write
from tests.reports.synthetic_runs import density_group, make_run
from tools.false_alarms import main


def test_every_comparison_of_a_twin_is_counted(tmp_path, capsys):
    path = tmp_path / "run.json"
    write(make_run(density_group()[:3], ("gather", "gather_twin"), times=lambda *_: 1e-3), path)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.startswith("9 comparisons: {")


def test_without_a_run_file_or_without_twins_it_is_one_line_and_exit_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    path = tmp_path / "run.json"
    write(replace(make_run(density_group()[:1]), units=()), path)
    for given, words in ((path, "no times of an implementation"), (tmp_path / "no", "cannot read")):
        assert main([str(given)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
