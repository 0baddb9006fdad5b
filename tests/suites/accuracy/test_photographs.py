"""Photographs to train on: decoded once, mirrored and shifted, with pixels left out."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawing import batch_of
from PIL import Image

from bench.errors import DataError
from suites.accuracy import photographs as decoded
from suites.accuracy.photographs import KeptPhotographs
from suites.data import caltech


def jpeg(colour):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def photographs(monkeypatch):
    found = [
        caltech.Photograph(category, f"{category}/image_{number:04}.jpg", jpeg(colour))
        for category, colour in (("ant", (255, 0, 0)), ("bee", (0, 0, 255)))
        for number in range(1, 9)
    ]
    monkeypatch.setattr(caltech, "photographs", lambda **_: iter(found))
    decoded.forget()
    yield found
    decoded.forget()


def test_photographs_are_decoded_once_for_all_sparsities(photographs, monkeypatch):
    first = KeptPhotographs(32, 0.7).load(train=False)
    monkeypatch.setattr(caltech, "photographs", lambda **_: iter(()))
    second = KeptPhotographs(32, 0.1).load(train=False)
    assert second.pictures is first.pictures
    assert batch_of(second, 0).sites > 2 * batch_of(first, 0).sites


def test_three_quarters_of_each_class_of_photographs_are_trained_on(photographs):
    source = KeptPhotographs(32, 0.7)
    train, test = (source.load(train=part) for part in (True, False))
    assert np.bincount(train.labels).tolist() == [6, 6]
    assert np.bincount(test.labels).tolist() == [2, 2]
    batch = batch_of(test, 0, 3)
    assert batch.sites == 2 * round(0.3 * 32 * 32)
    red, blue = (batch.features[batch.coordinates[:, 0] == number].mean(0) for number in (0, 1))
    assert red.tolist() == pytest.approx([1, 0, 0], abs=0.02)
    assert blue.tolist() == pytest.approx([0, 0, 1], abs=0.02)


def test_training_photographs_are_mirrored_and_shifted_and_test_ones_are_not(photographs):
    colours = Image.new("RGB", (32, 32))
    colours.putdata([(8 * column, 8 * row, 0) for row in range(32) for column in range(32)])
    stream = io.BytesIO()
    colours.save(stream, "JPEG", quality=100, subsampling=0)
    photographs[:] = [replace(each, jpeg=stream.getvalue()) for each in photographs]
    source = KeptPhotographs(32, 0.0, shift=3, mirrored=True)
    still = batch_of(source.load(train=False), 0).features.reshape(32, 32, 3)
    assert still[5, 9].tolist() == pytest.approx([72 / 255, 40 / 255, 0], abs=0.02)

    samples = source.load(train=True)
    seen = set()
    for seed in range(40):
        moved = batch_of(samples, 0, seed=seed).features.reshape(32, 32, 3)
        down = round(float(still[16, 16, 1] - moved[16, 16, 1]) * 255 / 8)
        steps = moved[16, 8:24, 0].diff() * 255 / 8
        mirrored = bool(steps.mean() < 0)
        whole = moved.flip(1) if mirrored else moved
        across = round(float(still[16, 16, 0] - whole[16, 16, 0]) * 255 / 8)
        rows = (torch.arange(32) - down).clamp(0, 31)
        columns = (torch.arange(32) - across).clamp(0, 31)
        assert whole.equal(still[rows][:, columns])
        seen.add((down, mirrored))
    downs, mirrors = ({each[place] for each in seen} for place in (0, 1))
    assert downs == set(range(-3, 4))
    assert mirrors == {False, True}


def test_broken_photographs_are_counted_and_named_unless_they_are_to_be_skipped(photographs):
    for number in (1, 9):
        photographs[number] = replace(photographs[number], jpeg=photographs[number].jpeg[:60])
    with pytest.raises(
        DataError, match=r"2 photographs cannot be decoded: ant/image_0002.jpg, bee/"
    ):
        KeptPhotographs(32, 0.5).load(train=True)
    left = KeptPhotographs(32, 0.5).load(train=True, skip_broken=True)
    assert np.bincount(left.labels).tolist() == [5, 5]
    assert left.left_out == ("ant/image_0002.jpg", "bee/image_0002.jpg")
    assert KeptPhotographs(32, 0.5).load(train=False, skip_broken=True).left_out == ()


def test_photographs_of_another_format_or_too_many_pixels_are_broken(photographs):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "PNG")
    start = photographs[3].jpeg.index(b"\xff\xc0") + 5  # the frame's height and width
    claim = (9000).to_bytes(2, "big") * 2
    large = photographs[3].jpeg[:start] + claim + photographs[3].jpeg[start + 4 :]
    photographs[2] = replace(photographs[2], jpeg=stream.getvalue())
    photographs[3] = replace(photographs[3], jpeg=large)
    left = KeptPhotographs(32, 0.5).load(train=True, skip_broken=True)
    assert left.left_out == (photographs[2].name, photographs[3].name)


def test_photographs_that_are_all_broken_are_refused_even_where_they_are_to_be_skipped(photographs):
    photographs[:] = [replace(each, jpeg=each.jpeg[:60]) for each in photographs]
    with pytest.raises(DataError, match=r"cannot be decoded: .*; none is left"):
        KeptPhotographs(32, 0.5).load(train=True, skip_broken=True)
