"""Suite `real` as tests: `pytest suites/bench_real.py`, with `--benchmark` to measure."""

import pytest

from bench.pytest_cells import CellUnderTest


@pytest.mark.sparsebench(suite="real")
def test_real(sparsebench_cell: CellUnderTest, request: pytest.FixtureRequest) -> None:
    """Replay the measured samples, or check the cell once."""
    sparsebench_cell.run(request)
