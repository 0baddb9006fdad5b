"""What a network sees: a few samples as pictures, and how many sites are active after each layer."""

import io

import numpy as np
from numpy.typing import NDArray

from bench.batch import SparseBatch
from bench.network import INPUT, Layer, Network
from bench.results.accuracy import ActiveSites, Picture
from bench.sites import layer_sites
from bench.training.batches import Stream, generator_of, order_of, test_batch, training_batch
from bench.training.experiment import Samples
from bench.training.processes import Group

PICTURES = 4
LARGEST_SIDE = 96
"""Of a picture, in pixels: what is larger is cut to its middle."""


def pictures(samples: Samples, seed: int, batch_size: int) -> tuple[Picture, ...]:
    """Draw the first samples of the first training step, as augmented; 2D grids only."""
    indices = order_of(samples, seed, 1)[:batch_size]
    labelled = training_batch(samples, indices, generator_of(Stream.SAMPLES, seed, 1, 0), Group())
    batch = _first(labelled.batch, PICTURES)
    if batch.dimensions != 2:
        return ()
    values, sites = batch.dense().numpy(), batch.mask().numpy()[:, 0]
    return tuple(
        Picture(int(label), batch.grid_size, _png(features, active))
        for label, features, active in zip(labelled.labels[:PICTURES], values, sites, strict=True)
    )


def active_sites(network: Network, samples: Samples) -> tuple[ActiveSites, ...]:
    """Count the active sites of the first test sample, before the first layer and after each."""
    batch = test_batch(samples, 1, 0).batch.sorted()
    counts = [ActiveSites(INPUT, batch.sites, batch.all_sites)]

    def step(layer: Layer, sources: list[SparseBatch]) -> SparseBatch:
        found = layer_sites(layer, sources)
        counts.append(ActiveSites(layer.name, found.sites, found.all_sites))
        return found

    network.evaluate(batch, step)
    return tuple(counts)


def _first(batch: SparseBatch, count: int) -> SparseBatch:
    """Return the first samples of a batch."""
    rows = batch.coordinates[:, 0] < count
    return SparseBatch(
        batch.coordinates[rows],
        batch.features[rows],
        min(count, batch.batch_size),
        batch.grid_size,
    )


def _png(features: NDArray[np.float32], active: NDArray[np.bool_]) -> bytes:
    """Draw features `[C, H, W]`: inactive sites are transparent.

    Of three channels each is a colour; of another number, the first is grey, and the darker the more.
    """
    from PIL import Image  # noqa: PLC0415

    low, high = min(0.0, float(features.min())), max(1.0, float(features.max()))
    shades = (255 * (features - low) / (high - low)).round().astype(np.uint8)
    colours = shades if len(shades) == 3 else 255 - shades[:1].repeat(3, axis=0)
    pixels = np.concatenate([colours, np.where(active, 255, 0).astype(np.uint8)[None]])
    rows, columns = (_middle(side) for side in active.shape)
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, rows, columns].transpose(1, 2, 0)))
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _middle(side: int) -> slice:
    begin = max(0, (side - LARGEST_SIDE) // 2)
    return slice(begin, begin + LARGEST_SIDE)
