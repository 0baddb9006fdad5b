"""Samples drawn and made into batches."""

import numpy as np


def drawn(samples, count, seed=0):
    return samples.draw(count, np.random.default_rng(seed))


def batch_of(samples, *indices, seed=0):
    return samples.batch(np.array(indices), drawn(samples, len(indices), seed)).checked()
