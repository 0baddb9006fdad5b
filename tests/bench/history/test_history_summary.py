"""What history keeps of each cell: its time, and its ratio to the baseline of the same kind."""

from dataclasses import replace

import pytest

from tests.reports.synthetic_runs import DENSE_SECONDS, Noise, make_run, workload

pytest.importorskip("duckdb")

from bench.history.summary import baseline_of, rows
from bench.phases import Phase

PHASES = (Phase.FORWARD, Phase.TRAIN_STEP)
QUIET = Noise(rounds=0.001, processes=0.0002, length=4)
RATIO = 0.5


def made(slower=1.0):
    """Gather takes half of dense's time; both are slower by a factor."""
    return make_run(
        [workload("layer", 0.1)],
        ("dense", "gather"),
        times=lambda name, _: slower * DENSE_SECONDS * (1 if name == "dense" else RATIO),
        phases=PHASES,
        noise=QUIET,
    )


@pytest.mark.parametrize("kind", [{}, {"dtype": "float64"}, {"device": "cuda"}])
def test_a_ratio_is_to_the_baseline_in_the_same_phase_type_and_device(kind):
    run, other = made(), made(slower=7.0)
    (unit,) = run.units
    cells = unit.cells + tuple(replace(each, **kind) for each in other.units[0].cells if kind)
    found = list(rows(replace(run, units=(replace(unit, cells=cells),)), "run"))
    assert len(found) == len(cells)
    for row in found:
        if row.implementation == "dense":
            assert row.relative is None
        else:
            assert row.relative == pytest.approx(RATIO, rel=0.01)


def test_the_baseline_is_dense_or_else_the_first_that_starts_dense_or_none():
    run = made()
    dense, gather = run.header.implementations
    starting = [replace(gather, name=name, starts_dense=True) for name in ("a", "b")]

    def of(*records):
        return baseline_of(replace(run, header=replace(run.header, implementations=records)))

    assert of(gather, *starting, dense) == "dense"
    assert of(gather, *starting) == "a"
    assert of(gather) is None
