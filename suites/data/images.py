"""What the sets of small grey images have in common."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images: uint8 `[N, H, W]`, 0 where there is no ink.
        labels: int64 `[N]`, the class, from 0.
        brightest: the largest value that an image may hold.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    brightest: int
