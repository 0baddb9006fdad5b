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
FEWEST_PROCESSES = 20
"""Of so many rounds; fewer have a median that chance alone takes beyond a tenth."""


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
    if len(of_times) < FEWEST_PROCESSES:
        pytest.skip("too few rounds")
    print(f"{path.parent.name}/{path.stem}: of {len(of_times)} times {np.median(of_times):.2f}")
    assert np.median(of_times) < 0.6
    if len(of_ratios) >= FEWEST_PROCESSES:
        print(f"of {len(of_ratios)} ratios {np.median(of_ratios):.2f}")
        assert abs(np.median(of_ratios)) < 0.1
