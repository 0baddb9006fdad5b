"""A unit of a sweep that is measured in no time: what a fleet does with it is tested with many."""

import random
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from bench.results.store import load

PUBLISHED = (
    Path(__file__).resolve().parents[1] / "bench" / "results" / "golden" / "run-schema-1.json"
)
LONGEST_SECONDS = 0.6


def measure_unit(suite, workload, options):
    """What the real one returns, after a random time, of a workload of that name."""
    time.sleep(random.random() * LONGEST_SECONDS)  # noqa: S311
    run = load(PUBLISHED)
    (unit,) = run.units
    named = replace(
        unit,
        workload=replace(unit.workload, name=workload),
        cells=tuple(replace(cell, workload=workload) for cell in unit.cells),
    )
    return msgspec.json.encode(replace(run, units=(named,)))
