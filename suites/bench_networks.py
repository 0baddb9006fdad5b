"""Suite `networks` as tests: `pytest suites/bench_networks.py`, with `--benchmark` to measure."""

import pytest

from bench.pytest_cells import CellUnderTest


@pytest.mark.sparsebench(suite="networks")
def test_networks(sparsebench_cell: CellUnderTest, request: pytest.FixtureRequest) -> None:
    """Replay the measured samples, or check the cell once."""
    sparsebench_cell.run(request)
