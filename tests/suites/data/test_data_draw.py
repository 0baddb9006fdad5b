import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from suites.data import digits
from suites.data.draw import draw, placed, strokes_on_grid, voxels
from tests.suites.recordings import recording


def picture(drawing, grid):
    rows = np.full((grid, grid), ".")
    rows[tuple(drawing.sites.T)] = "#"
    return ["".join(row) for row in rows]


def is_connected(sites):
    remaining = {tuple(site) for site in sites.tolist()}
    reached = [remaining.pop()]
    while reached:
        row, column = reached.pop()
        near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
        reached += near & remaining
        remaining -= near
    return not remaining


def test_an_angle_is_drawn_where_it_should_be():
    drawing = draw(recording([(0, 0), (0, 400), (400, 400)]), scale=5, grid=7)
    assert picture(drawing, 7) == [
        ".......",
        ".#.....",
        ".#.....",
        ".#.....",
        ".#.....",
        ".#####.",
        ".......",
    ]
    assert drawing.sites.dtype == np.int32
    assert drawing.features.dtype == np.float32


def test_the_pen_is_up_between_strokes():
    drawing = draw(recording([(0, 0), (400, 0)], [(400, 400), (0, 400)]), scale=5, grid=5)
    assert picture(drawing, 5) == ["#####", ".....", ".....", ".....", "#####"]


def test_the_shorter_side_is_centred():
    drawing = draw(recording([(0, 7), (600, 7)]), scale=7, grid=7)
    assert np.unique(drawing.sites[:, 0]).tolist() == [3]


def test_a_tangent_is_that_of_the_first_sample_in_a_site():
    down_then_right = recording([(0, 0), (0, 400), (400, 400)])
    drawing = draw(down_then_right, scale=5, grid=5)
    at = dict(zip(map(tuple, drawing.sites.tolist()), drawing.features.tolist(), strict=True))
    assert at[0, 0] == [0, 1, 1]
    assert at[3, 0] == [0, 1, 1]
    assert at[4, 2] == [1, 0, 1]
    assert at[4, 4] == [1, 0, 1]


def test_a_spot_is_one_site_without_direction():
    drawing = draw(recording([(5, 5), (5, 5)], [(5, 5)]), scale=4, grid=8)
    assert drawing.sites.tolist() == [[4, 4]]
    assert drawing.features.tolist() == [[0, 0, 1]]


def test_a_pen_that_stands_still_does_not_lose_its_direction():
    still = draw(recording([(0, 0), (0, 0), (10, 0), (10, 0)]), scale=8, grid=8)
    moving = draw(recording([(0, 0), (10, 0)]), scale=8, grid=8)
    np.testing.assert_array_equal(still.sites, moving.sites)
    np.testing.assert_array_equal(still.features, moving.features)


def test_what_leaves_the_grid_is_left_out():
    points = np.array([[-3.0, 1.0], [6.0, 1.0]])
    drawing = strokes_on_grid(points, np.zeros(2, dtype=np.int16), grid=4)
    assert drawing.sites.tolist() == [[1, 0], [1, 1], [1, 2], [1, 3]]


@pytest.mark.parametrize(("scale", "grid"), [(0, 5), (6, 5)])
def test_a_drawing_that_does_not_fit_is_refused(scale, grid):
    with pytest.raises(UserError, match="does not fit"):
        draw(recording([(0, 0), (1, 1)]), scale, grid)


POINT = st.tuples(st.integers(-100, 4_700), st.integers(-110, 4_500))
STROKES = st.lists(st.lists(POINT, min_size=1, max_size=12), min_size=1, max_size=5)
SCALES = st.integers(1, 60).flatmap(lambda scale: st.tuples(st.just(scale), st.integers(scale, 90)))


@given(STROKES, SCALES)
def test_sites_are_unique_sorted_and_fill_the_scale_inside_the_grid(strokes, sizes):
    scale, grid = sizes
    drawing = draw(recording(*strokes), scale, grid)
    sites = drawing.sites
    assert ((sites >= 0) & (sites < grid)).all()
    rows = [tuple(site) for site in sites.tolist()]
    assert rows == sorted(set(rows))
    points = np.array([point for stroke in strokes for point in stroke])
    longer = 1 if len({tuple(point) for point in points.tolist()}) == 1 else scale
    assert (sites.max(0) - sites.min(0) + 1).max() == longer
    length = np.hypot(drawing.features[:, 0], drawing.features[:, 1])
    assert (np.isclose(length, 1, atol=1e-5) | (length == 0)).all()
    assert (drawing.features[:, 2] == 1).all()


@given(STROKES, SCALES)
def test_with_both_sides_filled_only_the_shorter_side_of_a_drawing_grows(strokes, sizes):
    one = recording(*strokes)
    alike, filled = (placed(one.points, *sizes, both_sides=both) for both in (False, True))
    sides = np.ptp(one.points.astype(float), axis=0)
    assert np.ptp(filled, axis=0) == pytest.approx((sides > 0) * (sizes[0] - 1.0))
    assert filled[:, sides.argmax()] == pytest.approx(alike[:, sides.argmax()])
    assert filled.min(0) + filled.max(0) == pytest.approx(alike.min(0) + alike.max(0))


@given(st.lists(POINT, min_size=1, max_size=12), SCALES)
def test_the_sites_of_a_stroke_are_connected(stroke, sizes):
    assert is_connected(draw(recording(stroke), *sizes).sites)


SAMPLES = 501


@given(STROKES, SCALES)
def test_no_pixel_that_a_line_crosses_for_long_is_missing(strokes, sizes):
    scale, grid = sizes
    one = recording(*strokes)
    points = placed(one.points, scale, grid)
    marked = {tuple(site) for site in draw(one, scale, grid).sites.tolist()}
    for start, end in zip(range(len(points)), range(1, len(points)), strict=False):
        if one.strokes[start] != one.strokes[end]:
            continue
        fine = points[start] + (points[end] - points[start]) * np.linspace(0, 1, SAMPLES)[:, None]
        crossed, count = np.unique(np.floor(fine + 0.5).astype(int), axis=0, return_counts=True)
        inside = count / SAMPLES * np.hypot(*(points[end] - points[start])) > 0.75
        assert {(row, column) for column, row in crossed[inside].tolist()} <= marked


@given(st.lists(POINT, min_size=2, max_size=2, unique=True), st.integers(20, 60))
def test_doubling_the_scale_roughly_doubles_the_sites_of_a_line(line, scale):
    once, twice = (len(draw(recording(line), size, 2 * size).sites) for size in (scale, 2 * scale))
    # Of a slanting line's pixels, samples half a pixel apart hit from all columns to all corners.
    assert 1.3 < twice / once < 3.1


def test_doubling_the_scale_roughly_doubles_the_sites_of_a_spiral():
    turn = np.linspace(0, 6 * np.pi, 300)
    spiral = np.stack([turn * np.cos(turn), turn * np.sin(turn)], axis=1)
    one = recording(spiral.tolist())
    counts = np.array([len(draw(one, 2**size, 2**size).sites) for size in (6, 7, 8, 9)])
    ratios = counts[1:] / counts[:-1]
    assert (ratios > 1.9).all()
    assert (ratios < 2.1).all()


def test_points_are_gathered_into_voxels():
    points = np.array([[1, 2, 3], [1.5, 2, 3], [3.75, 2, 3], [1, 2, 5.5]], dtype=np.float32)
    gathered = voxels(points, 1.0, (4, 4, 4))
    assert gathered.sites.tolist() == [[0, 0, 0], [0, 0, 2], [2, 0, 0]]
    np.testing.assert_allclose(
        gathered.features,
        [[-0.5, -0.5, -0.25, 2], [-0.5, -0.5, 0.25, 1], [0, -0.5, -0.5, 1]],
    )


def test_points_beyond_the_grid_are_clipped():
    points = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]], dtype=np.float32)
    assert voxels(points, 1.0, (9, 9, 10)).sites.tolist() == [[0, 0, 0], [0, 0, 9]]


def test_no_points_make_no_voxels_and_no_size_is_refused():
    assert voxels(np.zeros((0, 3), dtype=np.float32), 1.0, (2, 2, 2)).sites.shape == (0, 3)
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="positive size"):
            voxels(np.zeros((1, 3), dtype=np.float32), size, (2, 2, 2))


COORDINATE = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE), min_size=1, max_size=40))
def test_every_point_inside_is_in_one_voxel_and_offsets_stay_in_it(rows):
    points = np.array(rows, dtype=np.float32)
    gathered = voxels(points, 10.0, (21, 21, 21))
    assert gathered.features[:, 3].sum() == len(points)
    assert (np.abs(gathered.features[:, :3]) <= 0.5 + 1e-6).all()
    keys = np.ravel_multi_index(tuple(gathered.sites.T), (21, 21, 21))
    assert (np.diff(keys) > 0).all()


def test_bundled_digits_need_no_data_folder():
    train, test = digits.load(train=True), digits.load(train=False)
    assert train.images.shape == (1_437, 8, 8)
    assert test.images.shape == (360, 8, 8)
    assert train.images.dtype == np.uint8
    assert int(train.images.max()) == train.brightest
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
