"""What `sparsebench history --json` prints is as docs/json.md says."""

from dataclasses import replace

import pytest
from formats_page import ALERTS, SHOWN, is_as_described

from tests.reports.nights import fill, nightly, saved

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

from bench.cli.main import main
from bench.history.archive import Archive
from bench.results.schema import Status


def test_what_history_says_is_as_described(tmp_path, capsys):
    store = fill(tmp_path / "store", tmp_path / "runs")
    last = nightly(12, factor=1.2, names=("dense", "gather", "masked"))
    lost = nightly(13, factor=1.2, names=("dense", "gather", "masked"))
    units = tuple(
        replace(each, cells=(*each.cells[:-1], _without_time(each.cells[-1])))
        for each in lost.units
    )
    for one in (last, replace(lost, units=units)):
        Archive(str(store)).add(saved(one, tmp_path))
    (store / "runs" / "notes.txt").write_text("hello")
    assert main(["history", "show", "--store", str(store), "--json"]) == 0
    is_as_described(capsys.readouterr().out, SHOWN)
    assert main(["history", "alerts", "--store", str(store), "--json"]) == 4
    is_as_described(capsys.readouterr().out, ALERTS)


def _without_time(cell):
    return replace(cell, status=Status.ERROR, reason="boom", timing=None, verified="")
