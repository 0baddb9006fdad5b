"""Samples of different lengths, one after another in one array."""

import numpy as np
from numpy.typing import NDArray


def rows_of(
    ends: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows of chosen samples, in the order of the choice.

    Args:
        ends: `[N]`, the row after each sample's last.
        chosen: `[B]`, numbers of samples.

    Returns:
        Rows `[n]`, and which of the chosen each belongs to, from 0.
    """
    begins = np.concatenate([[0], ends[:-1]])[chosen]
    lengths = ends[chosen] - begins
    numbers = np.repeat(np.arange(len(chosen)), lengths)
    before = np.cumsum(lengths) - lengths
    rows = np.arange(lengths.sum()) + np.repeat(begins - before, lengths)
    return rows, numbers
