"""MNIST: 28x28 images of handwritten digits, from the original IDX files."""

import numpy as np

from bench.errors import DataError
from suites.data.catalogue import MNIST, DataSet
from suites.data.folder import find
from suites.data.idx import read_idx
from suites.data.images import LabelledImages

CLASSES = 10
BRIGHTEST = 255


def load(*, train: bool, data_set: DataSet = MNIST) -> LabelledImages:
    """Load the 60,000 training images or the 10,000 test images.

    Raises:
        DataError: if a file is missing or broken, or images and labels do not belong together.
    """
    part = "train" if train else "t10k"
    images = read_idx(find(data_set, f"{part}-images-idx3-ubyte.gz"), axes=3)
    labels = read_idx(find(data_set, f"{part}-labels-idx1-ubyte.gz"), axes=1)
    if len(images) != len(labels):
        raise DataError(f"mnist, {part}: {len(images):,} images and {len(labels):,} labels")
    if labels.size and int(labels.max()) >= CLASSES:
        raise DataError(f"mnist, {part}: a label is {int(labels.max())}; 0 to 9 were expected")
    return LabelledImages(images, labels.astype(np.int64), BRIGHTEST)
