"""What the CUDA kernels are checked on, on the host and on a GPU."""

import pytest

from bench.conformance.cases import all_cases
from impls.cuda.places import Tuning

TILES_AND_HASHES = Tuning(
    bitmap_sites=0, few_channels=0, grouped_rows=0, share_offsets=1, share_rows=16
)
"""What large grids and many channels take, on small ones; rows are sorted, and split into shares."""


def cases(step):
    """Every systematic case; one in so many is quick. Types and densities recur every seven."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=str(case), marks=[pytest.mark.slow] if number % step else [])
            for number, case in enumerate(all_cases())
        ],
    )
