"""Digits to train on: shifted ink, pixels that are kept, and rows of chosen samples."""

import numpy as np
import pytest
from drawing import batch_of
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from suites.accuracy.digits import BundledDigits, InkDigits, KeptDigits
from suites.accuracy.photographs import KeptPhotographs
from suites.accuracy.rows import rows_of
from suites.data import digits, mnist
from suites.data.images import LabelledImages

IMAGES = np.zeros((4, 28, 28), dtype=np.uint8)
IMAGES[:, 10, 12:15] = 51
IMAGES[3, 0, 0] = 255


@pytest.fixture
def digits_of_mnist(monkeypatch):
    labelled = LabelledImages(IMAGES, np.arange(4, dtype=np.int64), 255)
    monkeypatch.setattr(mnist, "load", lambda *, train: labelled)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.data())
def test_rows_of_chosen_samples_are_theirs(lengths, data):
    ends = np.cumsum(lengths)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1)))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    rows, numbers = rows_of(ends, chosen)
    assert owner[rows].tolist() == chosen[numbers].tolist()
    assert len(rows) == sum(lengths[each] for each in chosen)
    assert (np.diff(numbers) >= 0).all()


def test_test_digits_lie_in_the_middle_with_their_own_darkness(digits_of_mnist):
    samples = InkDigits(96, shift=2).load(train=False)
    batch = batch_of(samples, 2, 3)
    assert batch.coordinates[:3].tolist() == [[0, 44, 46], [0, 44, 47], [0, 44, 48]]
    assert batch.features[:3].flatten().tolist() == pytest.approx([0.2] * 3)
    assert batch.coordinates[3].tolist() == [1, 34, 34]
    assert batch.features[3].item() == 1
    assert batch.sorted() is batch


def test_training_digits_are_shifted_by_every_whole_number_of_pixels_up_to_two(digits_of_mnist):
    samples = InkDigits(96, shift=2).load(train=True)
    batch = batch_of(samples, *[0] * 400)
    shifts = {
        tuple(row)
        for row in (batch.coordinates[::3, 1:] - batch.coordinates.new([44, 46])).tolist()
    }
    assert shifts == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_ink_that_is_shifted_off_the_field_is_cut_off(digits_of_mnist):
    samples = InkDigits(28, shift=2).load(train=True)
    sites = [batch_of(samples, 3, seed=seed).sites for seed in range(20)]
    assert set(sites) == {3, 4}


def test_a_field_too_small_is_refused(digits_of_mnist):
    with pytest.raises(UserError, match="28 pixels do not fit on a grid of 20"):
        InkDigits(20).load(train=True)


def test_every_so_manieth_sample_is_kept(digits_of_mnist):
    assert InkDigits(96, every=3).load(train=True).labels.tolist() == [0, 3]


def test_bundled_digits_are_trained_and_tested_on_different_images():
    train, test = (BundledDigits(24).load(train=part) for part in (True, False))
    assert len(train.labels) == digits.TRAIN_IMAGES
    assert len(test.labels) == 1797 - digits.TRAIN_IMAGES
    assert batch_of(test, 0, 1).grid_size == (24, 24)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_equally_many_pixels_of_each_picture_are_kept_ink_or_not(digits_of_mnist, sparsity):
    samples = KeptDigits(sparsity).load(train=True)
    batch = batch_of(samples, 0, 3)
    kept = round((1 - sparsity) * 784)
    assert batch.coordinates[:, 0].bincount().tolist() == [kept, kept]
    assert batch.sorted() is batch
    values = IMAGES[[0, 3]][tuple(batch.coordinates.numpy().T)] / 255
    assert np.allclose(batch.features.numpy()[:, 0], values)


def test_pixels_are_dropped_anew_and_by_chance_alone(digits_of_mnist):
    samples = KeptDigits(0.5).load(train=True)
    masks = [batch_of(samples, 0, seed=seed).mask() for seed in (0, 0, 1)]
    assert masks[0].equal(masks[1])
    assert not masks[0].equal(masks[2])
    counts = sum(batch_of(samples, 0, seed=seed).mask().double() for seed in range(60))
    assert counts.min() > 10
    assert counts.max() < 50


def test_sparsity_of_everything_is_refused():
    for make in (KeptDigits, lambda sparsity: KeptPhotographs(64, sparsity)):
        with pytest.raises(UserError, match="is not in"):
            make(1.0)
