"""The 8x8 images of handwritten digits that come with scikit-learn: nothing to download."""

import numpy as np

from suites.data.images import LabelledImages

BRIGHTEST = 16
TRAIN_IMAGES = 1_437
"""Four fifths of 1,797. The images are in their writers' order, so that the last are by others."""


def load(*, train: bool) -> LabelledImages:
    """Load the first 1,437 images for training, or the last 360 for testing."""
    from sklearn.datasets import load_digits  # noqa: PLC0415

    bundled = load_digits()
    part = slice(None, TRAIN_IMAGES) if train else slice(TRAIN_IMAGES, None)
    return LabelledImages(
        bundled.images[part].astype(np.uint8), bundled.target[part].astype(np.int64), BRIGHTEST
    )
