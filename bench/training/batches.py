"""Batches by number: the same for a seed, an epoch and a step, whoever asks, whenever.

Nothing random has a state that a checkpoint would have to keep.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.batch import SparseBatch
from bench.training.experiment import Samples
from bench.training.processes import Group


class Stream(IntEnum):
    """What random numbers are drawn for, so that no two draw the same."""

    ORDER = 0
    SAMPLES = 1
    DROPOUT = 2
    TEST = 3


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """A batch and its classes: int64 `[B]`."""

    batch: SparseBatch
    labels: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "LabelledBatch":
        """Return this batch on a device, with features of a type."""
        return LabelledBatch(self.batch.to(device, dtype), self.labels.to(device))


def seed_of(stream: Stream, *numbers: int) -> int:
    """Mix a seed, an epoch and a step into one number of 63 bits."""
    return int(np.random.SeedSequence([stream, *numbers]).generate_state(1, np.uint64)[0]) >> 1


def generator_of(stream: Stream, *numbers: int) -> np.random.Generator:
    """Make the generator of a seed, an epoch and a step."""
    return np.random.default_rng([stream, *numbers])


def order_of(samples: Samples, seed: int, epoch: int) -> NDArray[np.int64]:
    """Shuffle the samples of an epoch: their numbers, in the order of their use."""
    return generator_of(Stream.ORDER, seed, epoch).permutation(len(samples.labels))


def training_batch(
    samples: Samples,
    indices: NDArray[np.int64],
    generator: np.random.Generator,
    group: Group,
) -> LabelledBatch:
    """Make one process's part of a step's batch: every so-manieth of its samples."""
    drawn = samples.draw(len(indices), generator)
    part = slice(group.rank, None, group.size)
    return _labelled(samples, indices[part], drawn[part])


def test_batch(samples: Samples, batch_size: int, step: int) -> LabelledBatch:
    """Make a batch of test samples in their order; the same whatever the seed."""
    count = min(batch_size, len(samples.labels) - step * batch_size)
    indices = np.arange(count) + step * batch_size
    drawn = samples.draw(count, generator_of(Stream.TEST, step))
    return _labelled(samples, indices, drawn)


def ahead(
    make: Callable[[int], LabelledBatch], steps: range, loaders: int
) -> Iterator[LabelledBatch]:
    """Make the batches of steps in order, so many at a time ahead of their use.

    Args:
        make: makes a step's batch.
        steps: in the order of their use.
        loaders: threads that make batches while others are used; 0 makes each when it is asked for.
    """
    if not loaders:
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(loaders) as pool:
        waiting: deque[Future[LabelledBatch]] = deque()
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > loaders:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _labelled(
    samples: Samples, indices: NDArray[np.int64], drawn: NDArray[np.float32]
) -> LabelledBatch:
    return LabelledBatch(samples.batch(indices, drawn), torch.from_numpy(samples.labels[indices]))
