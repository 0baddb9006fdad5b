"""How much a round tells of the next, in the published runs: intervals take rounds for independent.

`pytest -s tests/bench/statistics/test_correlation.py` prints it.
"""

from pathlib import Path

import numpy as np
import pytest

from bench.results.store import load
from bench.statistics.intervals import _logarithms, _paired

PUBLISHED = sorted((Path(__file__).parents[3] / "results").glob("*-processors/*.json"))
FEWEST_ROUNDS = 12


def correlations(processes):
    """Of each round with the next, one for each process that has enough of them."""
    found = []
    for values in processes:
        deviations = values - values.mean()
        if len(values) >= FEWEST_ROUNDS and deviations.any():
            found.append(np.sum(deviations[1:] * deviations[:-1]) / np.sum(deviations**2))
    return found


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_rounds_of_a_ratio_hardly_depend_on_each_other(path):
    of_times, of_ratios = [], []
    for unit in load(path).units:
        timings = {
            (cell.implementation, cell.phase): cell.timing for cell in unit.cells if cell.timing
        }
        for (implementation, phase), timing in timings.items():
            of_times += correlations(_logarithms(timing).values())
            baseline = timings.get(("dense", phase))
            if baseline is not None and implementation != "dense":
                of_ratios += correlations(_paired(timing, baseline).values())
    if not of_times:
        pytest.skip("too few rounds")
    ratios = f", of ratios {np.median(of_ratios):.2f}" if of_ratios else ""
    print(f"{path.parent.name}/{path.stem}: of times {np.median(of_times):.2f}{ratios}")
    assert np.median(of_times) < 0.6
    assert not of_ratios or abs(np.median(of_ratios)) < 0.1
