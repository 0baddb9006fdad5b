import io

import numpy as np
import pytest
import torch
from PIL import Image
from trainable import Corners, corners

from bench.batch import SparseBatch
from bench.training.batches import Stream, generator_of, order_of, training_batch
from bench.training.illustration import PICTURES, active_sites, pictures
from bench.training.processes import Group
from suites.accuracy.digits import BundledDigits


def pixels_of(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png)))


def test_pictures_show_the_first_step_s_samples_as_they_were_augmented():
    samples = BundledDigits(24, shift=3).load(train=True)
    found = pictures(samples, seed=5, batch_size=16)
    generator = generator_of(Stream.SAMPLES, 5, 1, 0)
    stepped = training_batch(samples, order_of(samples, 5, 1)[:16], generator, Group())
    assert [each.label for each in found] == stepped.labels[:PICTURES].tolist()
    active, values = stepped.batch.mask()[:, 0].numpy(), stepped.batch.dense()[:, 0].numpy()
    for number, each in enumerate(found):
        pixels = pixels_of(each)
        assert each.grid_size == (24, 24)
        assert ((pixels[..., 3] > 0) == active[number]).all()
        darkness = 1 - pixels[..., 0] / 255
        assert darkness[active[number]] == pytest.approx(values[number][active[number]], abs=0.01)


class Line:
    """One sample: sites along a line, with given features."""

    def __init__(self, features, side):
        self.labels = np.zeros(1, dtype=np.int64)
        self.features = np.array(features, dtype=np.float32)
        self.side = side

    def draw(self, count, generator):
        return np.zeros((count, 0), dtype=np.float32)

    def batch(self, indices, drawn):
        rows = torch.arange(len(self.features), dtype=torch.int32)
        coordinates = torch.stack([0 * rows, rows, rows], 1)
        return SparseBatch(coordinates, torch.from_numpy(self.features), 1, (self.side, self.side))


def test_three_channels_are_colours_and_signs_stay_apart():
    (found,) = pictures(Line([[1, 0, 0], [-1, 1, 1], [0, 0, 0]], 4), 0, 1)
    pixels = pixels_of(found)
    assert pixels[0, 0].tolist() == [255, 128, 128, 255]
    assert pixels[1, 1].tolist() == [0, 255, 255, 255]
    assert pixels[2, 2].tolist() == [128, 128, 128, 255]
    assert pixels[3, 3, 3] == 0


def test_a_large_field_is_cut_to_its_middle():
    (found,) = pictures(Line(np.ones((200, 1)), 200), 0, 1)
    assert found.grid_size == (200, 200)
    assert pixels_of(found).shape == (96, 96, 4)
    assert pixels_of(found)[..., 3].sum() == 96 * 255


def test_active_sites_are_counted_from_the_input_to_the_single_site_at_the_end():
    experiment = corners()
    samples = Corners().load(train=False)
    found = active_sites(experiment.network, samples)
    assert [each.layer for each in found] == [
        "input",
        *(layer.name for layer in experiment.network.layers),
    ]
    first = samples.batch(np.array([0]), samples.draw(1, np.random.default_rng(0)))
    assert (found[0].active, found[0].sites) == (first.sites, 144)
    assert (found[-1].active, found[-1].sites) == (1, 1)
    assert all(0 < each.active <= each.sites for each in found)
