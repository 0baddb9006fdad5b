"""What hypothesis draws for the tests of geometry and coordinates."""

import math

import torch
from hypothesis import strategies as st

from bench.batch import SparseBatch, coordinates_of
from bench.window import Window

LARGEST_AXIS = {2: 7, 3: 4}


@st.composite
def windows(draw, dimensions, largest_kernel=4):
    def axes(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(dimensions))

    return Window(axes(1, largest_kernel), axes(1, 3), axes(0, 2), axes(1, 2))


@st.composite
def batches(draw, dimensions, channels=1):
    """A canonical float64 batch, anything from empty to full."""
    grid_size = tuple(draw(st.integers(1, LARGEST_AXIS[dimensions])) for _ in range(dimensions))
    batch_size = draw(st.integers(1, 2))
    size = batch_size * math.prod(grid_size)
    keys = sorted(draw(st.sets(st.integers(0, size - 1), max_size=20)))
    features = torch.arange(1, 1 + len(keys) * channels, dtype=torch.float64)
    return SparseBatch(
        coordinates_of(torch.tensor(keys, dtype=torch.int64), grid_size),
        features.reshape(len(keys), channels),
        batch_size,
        grid_size,
    )


def fits(window, grid_size):
    """Whether the window fits on the padded grid, by the definition of a window."""
    return all(
        size + 2 * padding > dilation * (kernel - 1)
        for size, kernel, padding, dilation in zip(
            grid_size, window.kernel_size, window.padding, window.dilation, strict=True
        )
    )
