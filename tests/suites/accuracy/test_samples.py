"""What networks are trained on: shifted ink, moved strokes, dropped pixels, split writers."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.errors import DataError, UserError
from suites.accuracy import photographs as decoded
from suites.accuracy.characters import (
    STILL,
    AssameseStrokes,
    BentMotion,
    FilledAssameseStrokes,
    LooseMotion,
    Motion,
)
from suites.accuracy.digits import BundledDigits, InkDigits, KeptDigits
from suites.accuracy.experiments import find
from suites.accuracy.photographs import KeptPhotographs
from suites.accuracy.rows import rows_of
from suites.data import assamese, caltech, digits, mnist
from suites.data.draw import draw
from suites.data.images import LabelledImages
from suites.data.recording import Recording

IMAGES = np.zeros((4, 28, 28), dtype=np.uint8)
IMAGES[:, 10, 12:15] = 51
IMAGES[3, 0, 0] = 255
RECORDINGS = tuple(
    Recording(
        writer,
        character,
        np.array([[0, 0], [0, 100 * character], [90, 40], [10, 10 + writer]], dtype=np.float32),
        np.array([0, 0, 1, 1], dtype=np.int16),
    )
    for writer in (*assamese.TRAIN_WRITERS, *assamese.TEST_WRITERS)
    for character in (1, 2, 3)
)


@pytest.fixture
def digits_of_mnist(monkeypatch):
    labelled = LabelledImages(IMAGES, np.arange(4, dtype=np.int64), 255)
    monkeypatch.setattr(mnist, "load", lambda *, train: labelled)


@pytest.fixture
def handwriting(monkeypatch):
    monkeypatch.setattr(
        assamese, "load", lambda writers: [one for one in RECORDINGS if one.writer in writers]
    )
    monkeypatch.setattr(assamese, "CHARACTERS", 3)


def drawn(samples, count, seed=0):
    return samples.draw(count, np.random.default_rng(seed))


def batch_of(samples, *indices, seed=0):
    return samples.batch(np.array(indices), drawn(samples, len(indices), seed)).checked()


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


def test_test_characters_are_drawn_as_they_are(handwriting):
    source = AssameseStrokes(24, 16, 3, Motion(4, 0.3, 0.2))
    samples = source.load(train=False)
    batch = batch_of(samples, *range(len(samples.labels)))
    for number, one in enumerate(
        each for each in RECORDINGS if each.writer in assamese.TEST_WRITERS
    ):
        alone = draw(one, 16, 24, tangents=True)
        own = batch.coordinates[:, 0] == number
        # The middle of the field is subtracted and added again: at most rounding differs.
        assert np.array_equal(batch.coordinates[own, 1:].numpy(), alone.sites)
        assert np.allclose(batch.features[own].numpy(), alone.features)


def test_filled_characters_are_as_wide_as_they_are_high(handwriting):
    sizes = []
    for kind in (AssameseStrokes, FilledAssameseStrokes):
        batch = batch_of(kind(24, 16, 1).load(train=False), 2)
        sizes.append(np.ptp(batch.coordinates[:, 1:].numpy(), axis=0) + 1)
    assert sizes[0][0] == 16
    assert sizes[0][1] < 8
    assert sizes[1].tolist() == [16, 16]
    assert find("assamese-vgg").source.fills_both_sides


def test_writers_are_split_and_characters_are_classes(handwriting):
    source = AssameseStrokes(24, 16, 1)
    train, test = (source.load(train=part) for part in (True, False))
    assert (len(train.labels), len(test.labels)) == (36 * 3, 9 * 3)
    assert np.bincount(train.labels).tolist() == [36] * 3
    few = replace(source, every=2)
    assert few.classes == 2
    assert np.bincount(few.load(train=True).labels).tolist() == [36] * 2


def test_strokes_stay_connected_one_pixel_wide_lines_however_they_are_moved(handwriting):
    """Strokes are moved, not pixels: enlarging them tears no holes."""
    source = AssameseStrokes(95, 63, 1, Motion(stretching=0.4))
    still = batch_of(replace(source, motion=STILL).load(train=True), 1)
    for seed in range(10):
        moved = batch_of(source.load(train=True), 1, seed=seed)
        sites = {tuple(row[1:]) for row in moved.coordinates.tolist()}
        alone = [
            site
            for site in sites
            if not sites
            & {(site[0] + d, site[1] + r) for d in (-1, 0, 1) for r in (-1, 0, 1) if d or r}
        ]
        assert not alone
        assert 0.5 * still.sites < moved.sites < 1.5 * still.sites


def test_maps_are_a_shear_or_a_rotation_with_a_shift_within_bounds(handwriting):
    samples = AssameseStrokes(95, 63, 3, Motion(shift=8, bending=0.2)).load(train=True)
    rows = drawn(samples, 3000)
    assert np.abs(rows[:, 4:]).max() <= 8
    assert np.abs(rows[:, 4:]).max() > 7.9
    a, b, c, d = rows[:, :4].T
    along_x = (a == 1) & (d == 1) & (c == 0)
    along_y = (a == 1) & (d == 1) & (b == 0)
    rotated = np.isclose(a * d - b * c, 1) & np.isclose(b, -c) & ~along_x & ~along_y
    assert (along_x | along_y | rotated).all()
    assert min(along_x.sum(), along_y.sum(), rotated.sum()) > 900
    assert 0.19 < max(np.abs(b).max(), np.abs(c).max()) <= 0.2
    assert np.array_equal(drawn(samples, 3000), rows)


def test_every_stroke_of_a_loose_character_moves_for_itself_within_bounds(handwriting):
    source = AssameseStrokes(95, 63, 1, LooseMotion(stroke_shift=4))
    samples, held = (
        replace(source, motion=motion).load(train=True) for motion in (source.motion, STILL)
    )
    still = np.array([[1, 0, 0, 1, 0, 0]], dtype=np.float32)
    rows = drawn(samples, 3000)
    assert rows.shape == (3000, 6 + 2 * 2)
    assert np.array_equal(rows[:, :6], still.repeat(3000, axis=0))
    assert 3.9 < np.abs(rows[:, 6:]).max() <= 4
    by_strokes = np.array([[1, 0, 0, 1, 0, 0, 0, 0, 4, -3]], dtype=np.float32)
    whole = held.batch(np.array([2]), still).coordinates
    moved = samples.batch(np.array([2]), by_strokes).coordinates
    first = {tuple(row) for row in whole.tolist()} & {tuple(row) for row in moved.tolist()}
    second = {tuple(row) for row in moved.tolist()} - first
    back = {(number, row + 3, column - 4) for number, row, column in second}
    assert first
    assert second
    assert back <= {tuple(row) for row in whole.tolist()}


def test_every_stroke_is_bent_about_its_own_middle_within_bounds(handwriting):
    source = AssameseStrokes(95, 63, 1, BentMotion(stroke_shift=4, stroke_bending=0.1))
    samples = source.load(train=True)
    rows = drawn(samples, 3000)
    assert rows.shape == (3000, 6 + 2 * 2 + 2 * 4)
    assert 0.09 < np.abs(rows[:, 10:]).max() <= np.float32(0.1)
    still = np.zeros((1, 18), dtype=np.float32)
    still[0, [0, 3]] = 1
    halved = still.copy()
    halved[0, [14, 17]] = -0.5  # of the second stroke, the only one right of the first
    whole, half = (
        samples.batch(np.array([2]), row).coordinates[:, 1:].double() for row in (still, halved)
    )
    left = int(whole[:, 1].min())
    assert half[half[:, 1] == left].equal(whole[whole[:, 1] == left])
    (low, high), (halved_low, halved_high) = (
        [find(sites[sites[:, 1] > left], 0) for find in (torch.amin, torch.amax)]
        for sites in (whole, half)
    )
    assert ((low + high - halved_low - halved_high).abs() <= 2).all()
    assert (((high - low) / 2 - (halved_high - halved_low)).abs() <= 2).all()


def test_strokes_of_test_characters_stay_where_they_are(handwriting):
    still, loose = (
        AssameseStrokes(95, 63, 1, motion).load(train=False)
        for motion in (STILL, LooseMotion(stroke_shift=4))
    )
    assert drawn(loose, 2).shape == (2, 6)
    assert batch_of(loose, 0, 1).coordinates.equal(batch_of(still, 0, 1).coordinates)


def test_a_character_that_stands_still_is_shifted_by_whole_numbers_unchanged(handwriting):
    samples = AssameseStrokes(95, 63, 3).load(train=True)
    still = np.array([[1, 0, 0, 1, 0, 0]], dtype=np.float32)
    there = samples.batch(np.array([2]), still)
    shifted = samples.batch(
        np.array([2]), still + np.array([[0, 0, 0, 0, 5, -3]], dtype=np.float32)
    )
    assert (shifted.coordinates - there.coordinates).unique(dim=0).tolist() == [[0, -3, 5]]
    assert shifted.features.equal(there.features)


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"scale": 30}])
def test_characters_that_cannot_be_drawn_are_refused(wrong):
    with pytest.raises(UserError):
        replace(AssameseStrokes(24, 16, 1), **wrong)


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
    monkeypatch.setattr(caltech, "photographs", lambda: iter(found))
    decoded.forget()
    yield found
    decoded.forget()


def test_photographs_are_decoded_once_for_all_sparsities(photographs, monkeypatch):
    first = KeptPhotographs(32, 0.7).load(train=False)
    monkeypatch.setattr(caltech, "photographs", lambda: iter(()))
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


def test_broken_recordings_are_named_by_part_unless_they_stop_everything(monkeypatch):
    train, test = assamese.TRAIN_WRITERS[0], assamese.TEST_WRITERS[0]
    broken = [
        assamese.BrokenRecording(f"W{writer}/{character}.{writer}.txt", writer, character, "cut")
        for writer, character in ((train, 1), (train, 2), (test, 3))
    ]

    def refuse(_):
        raise assamese.BrokenRecordingsError("cut; and 2 more are broken")

    def readable(writers):
        parts = (RECORDINGS, broken)
        return tuple(tuple(one for one in part if one.writer in writers) for part in parts)

    monkeypatch.setattr(assamese, "load", refuse)
    monkeypatch.setattr(assamese, "load_readable", readable)
    source = AssameseStrokes(24, 8, 1, every=2)
    with pytest.raises(DataError, match="2 more are broken; --skip-broken leaves broken recordin"):
        source.load(train=True)
    assert source.load(train=True, skip_broken=True).left_out == (broken[0].name,)
    assert source.load(train=False, skip_broken=True).left_out == (broken[2].name,)
