"""Pen recordings that are made up."""

import numpy as np

from suites.data.recording import Recording


def recording(*strokes):
    points = np.array([point for stroke in strokes for point in stroke], dtype=np.float32)
    numbers = np.repeat(np.arange(len(strokes)), [len(stroke) for stroke in strokes])
    return Recording(1, 1, points, numbers.astype(np.int16))
