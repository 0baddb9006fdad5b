"""Suite `quick` as tests: `pytest suites/bench_quick.py`, with `--benchmark` to measure."""

import pytest

from bench.pytest_cells import CellUnderTest


@pytest.mark.sparsebench(suite="quick")
def test_quick(sparsebench_cell: CellUnderTest, request: pytest.FixtureRequest) -> None:
    """Replay the measured samples, or check the cell once."""
    sparsebench_cell.run(request)
