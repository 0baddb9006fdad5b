"""Suite `voxels` as tests: `pytest suites/bench_voxels.py`, with `--benchmark` to measure."""

import pytest

from bench.pytest_cells import CellUnderTest


@pytest.mark.sparsebench(suite="voxels")
def test_voxels(sparsebench_cell: CellUnderTest, request: pytest.FixtureRequest) -> None:
    """Replay the measured samples, or check the cell once."""
    sparsebench_cell.run(request)
