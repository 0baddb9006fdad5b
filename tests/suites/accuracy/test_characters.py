"""Handwriting to train on: strokes that are drawn, filled, moved and bent, and split by writers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawing import batch_of, drawn

from bench.errors import DataError, UserError
from suites.accuracy.characters import (
    STILL,
    AssameseStrokes,
    BentMotion,
    FilledAssameseStrokes,
    LooseMotion,
    Motion,
)
from suites.accuracy.experiments import find
from suites.data import assamese
from suites.data.draw import draw
from suites.data.recording import Recording

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
def handwriting(monkeypatch):
    monkeypatch.setattr(
        assamese, "load", lambda writers: [one for one in RECORDINGS if one.writer in writers]
    )
    monkeypatch.setattr(assamese, "CHARACTERS", 3)


def test_test_characters_are_drawn_as_they_are(handwriting):
    source = AssameseStrokes(24, 16, 3, Motion(4, 0.3, 0.2))
    samples = source.load(train=False)
    batch = batch_of(samples, *range(len(samples.labels)))
    for number, one in enumerate(
        each for each in RECORDINGS if each.writer in assamese.TEST_WRITERS
    ):
        alone = draw(one, 16, 24)
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
