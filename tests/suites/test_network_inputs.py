"""What networks are fed with: the papers' features, and drawings that scale with the grid."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from bench.errors import DataError, UserError
from suites.data.caltech import Photograph
from suites.data.images import LabelledImages
from suites.inputs import IMAGES
from suites.networks import characters, pictures
from suites.networks.characters import AssameseCharacters, SpaceTimeRecordings, SpaceTimeStrokes
from suites.networks.pictures import DepthMaps, InkImages, KeptDigits, KeptPhotographs
from tests.suites.recordings import recording

CORNER = [(0, 0), (0, 400), (400, 400)]
TWO_STROKES = [[(0, 0), (300, 0)], [(300, 300), (0, 300)]]


@pytest.fixture
def recordings(monkeypatch):
    """Two recordings in place of 8,235."""
    found = (recording(CORNER), recording(*TWO_STROKES))
    monkeypatch.setattr(characters.assamese, "load", lambda: found)


@pytest.fixture
def mnist(monkeypatch):
    """Ten images in place of 60,000: the n-th has n pixels of ink, from the corner on."""
    images = np.zeros((10, 28, 28), dtype=np.uint8)
    for number, image in enumerate(images):
        image.flat[:number] = 51
    labelled = LabelledImages(images, np.zeros(10, dtype=np.int64), 255)
    monkeypatch.setitem(IMAGES, "mnist", lambda *, train: labelled)


@pytest.fixture
def photographs(monkeypatch):
    """Endless photographs, all of one colour."""

    def endless():
        while True:
            stream = io.BytesIO()
            Image.new("RGB", (30, 20), (255, 128, 0)).save(stream, "JPEG", quality=100)
            yield Photograph("made", "made/image_0001.jpg", stream.getvalue())

    monkeypatch.setattr(pictures.caltech, "photographs", endless)


def test_a_character_has_the_pens_direction_where_three_channels_are_asked_for(recordings):
    batch = AssameseCharacters(9, 5, 1).batch(3, 0)
    features = {
        tuple(site): row
        for site, row in zip(
            batch.coordinates[:, 1:].tolist(), batch.features.tolist(), strict=True
        )
    }
    assert features[2, 2] == [0, 1, 1]  # down the left side
    assert features[6, 5] == [1, 0, 1]  # then to the right
    assert len(features) == 9


def test_a_character_is_1_at_its_sites_where_one_channel_is_asked_for(recordings):
    one, three = (AssameseCharacters(9, 5, 2).batch(channels, 0) for channels in (1, 3))
    assert torch.equal(one.coordinates, three.coordinates)
    assert one.features.unique().tolist() == [1]
    with pytest.raises(UserError, match="1 or 3 channels, not 2"):
        AssameseCharacters(9, 5, 2).batch(2, 0)


def test_recordings_are_spread_over_all_there_are(recordings):
    batch = AssameseCharacters(9, 5, 2).batch(1, 0)
    assert batch.batch_size == 2
    first, second = (batch.mask()[number, 0] for number in (0, 1))
    assert first[2:7, 2:7].int().tolist()[0] == [1, 0, 0, 0, 0]
    assert second[2:7, 2:7].int().tolist() == [[1] * 5, *[[0] * 5] * 3, [1] * 5]


def test_one_character_stands_in_the_middle_and_more_of_them_anywhere(recordings):
    lonely = AssameseCharacters(30, 10, 1).batch(1, 0)
    assert int(lonely.coordinates[:, 1:].min()) == 10
    assert int(lonely.coordinates[:, 1:].max()) == 19
    many = AssameseCharacters(30, 10, 1, characters=6).batch(1, 0)
    assert many.sites > 3 * lonely.sites
    other_seed = AssameseCharacters(30, 10, 1, characters=6).batch(1, 1)
    assert not torch.equal(many.coordinates, other_seed.coordinates)


def test_the_same_characters_stand_at_the_same_places_of_a_larger_field(recordings):
    small, large = (
        AssameseCharacters(30 * factor, 10 * factor, 1, 4).batch(1, 3) for factor in (1, 4)
    )
    assert large.sites == pytest.approx(4 * small.sites, rel=0.25)
    reached = {tuple(site) for site in small.coordinates[:, 1:].tolist()}
    back = {tuple(site) for site in (large.coordinates[:, 1:] / 4).round().int().tolist()}
    near = {(y + dy, x + dx) for y, x in reached for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    assert len(back - near) < 0.05 * len(back)


def test_a_space_time_stroke_goes_through_time_once_and_grows_linearly():
    sites = []
    for grid in (24, 48, 96):
        batch = SpaceTimeStrokes(grid, grid // 3, 2).batch(1, 0)
        assert batch.grid_size == (grid,) * 3
        times = batch.coordinates[:, 1].unique().tolist()
        assert times == list(range(grid // 3, 2 * grid // 3))
        sites.append(batch.sites)
    assert sites[1] == pytest.approx(2 * sites[0], rel=0.15)
    assert sites[2] == pytest.approx(4 * sites[0], rel=0.15)


def test_a_recordings_time_is_the_way_that_the_pen_has_gone_on_paper(recordings):
    corner, two = (
        SpaceTimeRecordings(9, 5, 2).batch(1, 0).mask()[number, 0].nonzero() for number in (0, 1)
    )
    # From the upper left corner (2, 2) down, and from half the time on to the right.
    assert corner[0].tolist() == [2, 2, 2]
    assert corner[-1].tolist() == [6, 6, 6]
    assert corner[corner[:, 0] < 4][:, 2].unique().tolist() == [2]
    # Lifting the pen takes no time and leaves no trace: the middle rows stay empty.
    assert two[:, 1].unique().tolist() == [2, 6]


def test_a_drawing_in_3d_must_fit_and_has_one_channel(recordings):
    for kind in (SpaceTimeStrokes, SpaceTimeRecordings):
        with pytest.raises(UserError, match="12 sites does not fit on a grid of 9"):
            kind(9, 12, 1).batch(1, 0)
        with pytest.raises(UserError, match="1 channels, not 3"):
            kind(9, 5, 1).batch(3, 0)


def test_ink_is_active_with_its_darkness_in_the_middle_of_the_field(mnist):
    batch = InkImages("mnist", 96, 10).batch(1, 0)
    assert batch.grid_size == (96, 96)
    assert batch.sites == sum(range(10))
    assert batch.features.unique().tolist() == [pytest.approx(0.2)]
    assert batch.coordinates[0].tolist() == [1, 34, 34]
    with pytest.raises(UserError, match="28 pixels do not fit on a grid of 20"):
        InkImages("mnist", 20, 1).batch(1, 0)
    with pytest.raises(UserError, match="digits have 1 channel, not 3"):
        InkImages("mnist", 96, 1).batch(3, 0)
    with pytest.raises(UserError, match="unknown images 'cats'; known are mnist, digits"):
        InkImages("cats", 96, 1)


@pytest.mark.parametrize("count", [-1, 0, 11])
def test_as_many_images_as_there_are_not_are_refused(mnist, count):
    for source in (InkImages("mnist", 30, count), KeptDigits("mnist", count, 0.5)):
        with pytest.raises(UserError, match=f"mnist has 10 images to train on, not {count}"):
            source.batch(1, 0)


def test_a_character_larger_than_its_field_is_refused():
    with pytest.raises(UserError, match="scale 9 does not fit on a grid of 8"):
        AssameseCharacters(8, 9, 1)


def test_kept_pixels_are_active_with_ink_or_without(mnist):
    batch = KeptDigits("mnist", 10, 0.5).batch(1, 0)
    assert batch.density == 0.5
    assert batch.features.unique().tolist() == [0, pytest.approx(0.2)]
    assert not torch.equal(batch.coordinates, KeptDigits("mnist", 10, 0.5).batch(1, 1).coordinates)
    with pytest.raises(UserError, match="unknown images 'cats'"):
        KeptDigits("cats", 1, 0.5)


def test_photographs_are_stretched_and_have_three_channels_up_to_1(photographs):
    batch = KeptPhotographs(16, 2, 0.25).batch(3, 0)
    assert (batch.batch_size, batch.grid_size, batch.density) == (2, (16, 16), 0.25)
    (colour,) = batch.features.unique(dim=0).tolist()
    assert colour == pytest.approx([1, 128 / 255, 0], abs=2 / 255)  # as near as a JPEG comes
    with pytest.raises(UserError, match="photographs have 3 channels, not 1"):
        KeptPhotographs(16, 2, 0.25).batch(1, 0)


def test_depth_is_smooth_positive_and_known_at_few_pixels():
    whole = DepthMaps((64, 96), 2, 1.0).batch(1, 0).dense()
    assert 1 <= float(whole.min()) < float(whole.max()) <= 80
    assert float((whole[..., 1:] - whole[..., :-1]).abs().max()) < 80 / 8
    sparse = DepthMaps((64, 96), 2, 0.05).batch(1, 0)
    assert sparse.density == pytest.approx(0.05, rel=0.01)
    assert torch.equal(sparse.features, whole.movedim(1, -1)[sparse.mask().squeeze(1)])


@pytest.mark.parametrize(
    ("source", "channels"),
    [
        (AssameseCharacters(96, 32, 1), 3),
        (SpaceTimeRecordings(24, 8, 1), 1),
        (InkImages("mnist", 96, 1), 1),
        (KeptDigits("mnist", 1, 0.5), 1),
        (KeptPhotographs(224, 1, 0.5), 3),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else None,
)
def test_data_that_is_missing_is_said_in_words(source, channels, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="is missing; get it by `sparsebench data fetch"):
        source.batch(channels, 0)


@pytest.mark.skipif(not os.environ.get("SPARSEBENCH_DATA"), reason="$SPARSEBENCH_DATA is not set")
@pytest.mark.parametrize(
    ("source", "channels", "sites"),
    [
        (AssameseCharacters(96, 32, 4), 3, (60, 200)),
        (AssameseCharacters(192, 32, 2, characters=10), 1, (600, 2000)),
        (SpaceTimeRecordings(48, 16, 4), 1, (20, 100)),
        (InkImages("mnist", 96, 8), 1, (80, 250)),
        (KeptDigits("mnist", 8, 0.5), 1, (392, 392)),
        (KeptPhotographs(224, 2, 0.25), 3, (12544, 12544)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int | tuple) else None,
)
def test_real_data_makes_batches_of_the_expected_sizes(source, channels, sites):
    batch = source.batch(channels, 0)
    assert batch.checked().sorted() is batch
    assert sites[0] <= batch.sites / batch.batch_size <= sites[1]
