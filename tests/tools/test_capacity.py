"""The schedule of a sweep, simulated."""

from pathlib import Path

import pytest

from bench.results.store import load
from tools.capacity import HOUR, main, simulate


def test_one_device_takes_the_sum_and_two_halve_it():
    assert simulate([HOUR] * 8, 1).hours == pytest.approx(8)
    assert simulate([HOUR] * 8, 2).hours == pytest.approx(4)
    assert simulate([HOUR] * 8, 2).busy == pytest.approx(1)


def test_more_devices_than_units_wait_for_the_longest():
    found = simulate([HOUR, 3 * HOUR], 64)
    assert found.hours == pytest.approx(3)
    assert found.busy == pytest.approx(4 / (3 * 64))


def test_a_straggler_delays_by_one_of_its_units_at_most():
    seconds = [60.0] * 600
    plain, hard = simulate(seconds, 10), simulate(seconds, 10, straggler=3)
    assert plain.hours < hard.hours < plain.hours * 1.1 + 3 * 60 / HOUR


def test_units_of_lost_devices_run_again():
    found = simulate([HOUR / 2] * 100, 4, loss_hours=2, seed=1)
    assert found.repeated > 5
    assert found.hours > simulate([HOUR / 2] * 100, 4).hours


def test_the_table_is_made_of_measured_costs(capsys):
    published = next((Path(__file__).parents[2] / "results").glob("*/quick-cpu.json"))
    measured = load(published)
    cells = 100 * len(measured.cells)
    assert main([str(published), "--cells", str(cells), "--devices", "1", "8"]) == 0
    assert f"{100 * len(measured.units):,} units, {cells:,} cells" in capsys.readouterr().out
    assert main([str(published.with_name("nothing.json"))]) == 2
    assert "cannot read" in capsys.readouterr().err
