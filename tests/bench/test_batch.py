import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches

from bench.batch import (
    SparseBatch,
    coordinates_of,
    from_dense,
    linear_keys,
    sparse_batch,
)
from bench.errors import UserError

GRID = (4, 5)
SOUND = ((0, 0, 1), (0, 3, 4), (1, 2, 2))


def refusal(coordinates=SOUND, features=None, batch_size=2, grid_size=GRID, dtype=torch.int32):
    """Make a batch that must be refused, and return the message."""
    if not isinstance(coordinates, torch.Tensor):
        coordinates = torch.tensor(coordinates, dtype=dtype)
    if features is None:
        features = torch.ones((len(coordinates), 2))
    with pytest.raises(UserError) as refused:
        sparse_batch(coordinates, features, batch_size, grid_size)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_a_repeated_site_is_refused_with_both_rows():
    message = refusal([(0, 3, 4), (1, 2, 2), (0, 0, 0), (1, 2, 2)])
    assert "rows 1 and 3" in message
    assert "[1, 2, 2]" in message


@pytest.mark.parametrize(
    "row",
    [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (2, 0, 0), (0, 4, 0), (0, 0, 5), (0, 2**31 - 1, 0)],
    ids=str,
)
def test_a_site_outside_of_the_grid_is_refused_with_its_row(row):
    message = refusal([(0, 3, 4), (1, 2, 2), row, (-1, -1, -1)])
    assert "row 2 " in message
    assert str(list(row)) in message
    assert "(4, 5)" in message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(value):
    features = torch.ones((3, 2))
    features[1, 1] = value
    message = refusal(features=features)
    assert "row 1" in message
    assert "[0, 3, 4]" in message


@pytest.mark.parametrize(
    "coordinates", [((0, 1), (0, 2)), ((0, 1, 2, 3),), (0, 1, 2)], ids=["few", "many", "flat"]
)
def test_coordinates_of_another_shape_are_refused_with_the_shape(coordinates):
    message = refusal(coordinates)
    assert str(tuple(torch.tensor(coordinates).shape)) in message
    assert "[N, 3]" in message


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32])
def test_coordinates_of_another_type_are_refused_with_the_type(dtype):
    message = refusal(dtype=dtype)
    assert str(dtype) in message
    assert "int32" in message


@pytest.mark.parametrize("shape", [(2, 2), (4, 2), (3,), (3, 2, 1)], ids=str)
def test_features_that_do_not_match_the_rows_are_refused_with_both_shapes(shape):
    message = refusal(features=torch.ones(shape))
    assert str(shape) in message
    assert "[3, C]" in message


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_features_that_are_no_floating_point_numbers_are_refused(dtype):
    assert str(dtype) in refusal(features=torch.ones((3, 2), dtype=dtype))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_no_samples_is_refused(batch_size):
    assert f"batch size {batch_size}" in refusal(batch_size=batch_size)


@pytest.mark.parametrize("grid_size", [(0, 5), (4, -5)], ids=str)
def test_a_grid_of_no_sites_is_refused(grid_size):
    assert str(grid_size) in refusal(grid_size=grid_size)


def test_a_grid_without_axes_is_refused():
    assert "()" in refusal(torch.zeros((1, 1), dtype=torch.int32), grid_size=())


def test_a_grid_with_more_sites_than_64_bits_number_is_refused():
    grid_size = (2**21,) * 3
    coordinates = ((0, 0, 0, 0), (0, 2**21 - 1, 2**21 - 1, 2**21 - 1))
    assert str(grid_size) in refusal(coordinates, batch_size=1, grid_size=grid_size)
    smaller = (2**21, 2**21, 2**21 - 1)
    with pytest.raises(UserError, match=re.escape(str(list(coordinates[1])))):
        sparse_batch(torch.tensor(coordinates, dtype=torch.int32), torch.ones(2, 1), 1, smaller)


def test_the_last_site_of_the_largest_grid_keeps_its_place():
    grid_size = (2**21, 2**21, 2**21 - 1)
    last = [0, *(size - 1 for size in grid_size)]
    coordinates = torch.tensor([last, [0, 0, 0, 0]], dtype=torch.int32)
    batch = sparse_batch(coordinates, torch.tensor([[1.0], [2.0]]), 1, grid_size)
    assert batch.coordinates.tolist() == [[0, 0, 0, 0], last]
    assert batch.features.tolist() == [[2.0], [1.0]]
    assert coordinates_of(batch.keys(), grid_size).tolist() == batch.coordinates.tolist()


def test_an_empty_batch_is_valid():
    batch = sparse_batch(torch.empty((0, 3), dtype=torch.int32), torch.empty((0, 2)), 3, GRID)
    assert batch.sites == 0
    assert batch.density == 0
    assert batch.dense().shape == (3, 2, *GRID)
    assert not batch.dense().any()
    assert not batch.mask().any()


def test_an_empty_sample_in_the_middle_is_valid():
    coordinates = torch.tensor([(2, 1, 1), (0, 3, 4)], dtype=torch.int32)
    batch = sparse_batch(coordinates, torch.ones(2, 1), 4, GRID)
    assert batch.mask().flatten(1).sum(1).tolist() == [1, 0, 1, 0]


def test_a_grid_size_given_as_a_list_becomes_a_tuple():
    batch = sparse_batch(torch.tensor(SOUND, dtype=torch.int32), torch.ones(3, 1), 2, [4, 5])
    assert batch.grid_size == (4, 5)


def test_sites_density_and_channels_are_counted():
    batch = sparse_batch(torch.tensor(SOUND, dtype=torch.int32), torch.ones(3, 7), 2, GRID)
    assert (batch.sites, batch.all_sites, batch.channels, batch.dimensions) == (3, 40, 7, 2)
    assert batch.density == 3 / 40


@given(st.sampled_from([2, 3]).flatmap(batches), st.randoms(use_true_random=False))
def test_rows_in_any_order_become_canonical_and_keep_their_features(batch, random):
    order = list(range(batch.sites))
    random.shuffle(order)
    shuffled = sparse_batch(
        batch.coordinates[order], batch.features[order], batch.batch_size, batch.grid_size
    )
    rows = shuffled.coordinates.tolist()
    assert rows == sorted(rows)
    assert torch.equal(shuffled.coordinates, batch.coordinates)
    assert torch.equal(shuffled.features, batch.features)
    assert shuffled.coordinates.dtype == torch.int32


@given(st.data())
def test_keys_number_sites_in_lexicographic_order_and_back(data):
    grid_size = tuple(data.draw(st.lists(st.integers(1, 2**20), min_size=1, max_size=3)))
    site = st.tuples(st.integers(0, 2), *(st.integers(0, size - 1) for size in grid_size))
    rows = data.draw(st.lists(site, min_size=2, max_size=8))
    keys = linear_keys(torch.tensor(rows, dtype=torch.int32), grid_size)
    assert keys.dtype == torch.int64
    assert [rows[i] for i in keys.argsort(stable=True).tolist()] == sorted(rows)
    for row, key in zip(rows, keys.tolist(), strict=True):
        expected = row[0]
        for coordinate, size in zip(row[1:], grid_size, strict=True):
            expected = expected * size + coordinate
        assert key == expected
    back = coordinates_of(keys, grid_size)
    assert back.dtype == torch.int32
    assert [tuple(row) for row in back.tolist()] == rows


@given(st.sampled_from([2, 3]).flatmap(lambda dimensions: batches(dimensions, channels=2)))
def test_densifying_puts_every_row_at_its_site_and_zero_elsewhere(batch):
    expected = torch.zeros((batch.batch_size, 2, *batch.grid_size), dtype=torch.float64)
    marked = torch.zeros((batch.batch_size, 1, *batch.grid_size), dtype=torch.bool)
    for (sample, *site), values in zip(batch.coordinates.tolist(), batch.features, strict=True):
        expected[(sample, slice(None), *site)] = values
        marked[(sample, 0, *site)] = True
    assert torch.equal(batch.dense(), expected)
    assert torch.equal(batch.mask(), marked)


@given(st.sampled_from([2, 3]).flatmap(lambda dimensions: batches(dimensions, channels=2)))
def test_reading_the_densified_batch_at_its_mask_returns_the_batch(batch):
    for mask in (batch.mask(), batch.mask().double()):
        again = from_dense(batch.dense(), mask)
        assert torch.equal(again.coordinates, batch.coordinates)
        assert torch.equal(again.features, batch.features)
        assert (again.batch_size, again.grid_size) == (batch.batch_size, batch.grid_size)


def test_an_active_site_may_hold_zero():
    batch = SparseBatch(torch.tensor(SOUND, dtype=torch.int32), torch.zeros(3, 2), 2, GRID)
    assert from_dense(batch.dense(), batch.mask()).sites == 3


def test_gradients_flow_through_densifying_and_reading(random_batch):
    batch = random_batch()
    features = batch.features.requires_grad_()
    weight = torch.randn(batch.dense().shape, dtype=torch.float64)
    dense = batch.with_features(features).dense()
    (gradient,) = torch.autograd.grad((dense * weight).sum(), features)
    at_sites = from_dense(weight, batch.mask()).features
    assert torch.equal(gradient, at_sites)

    values = weight.clone().requires_grad_()
    read = from_dense(values, batch.mask()).features
    (gradient,) = torch.autograd.grad(read, values, at_sites)
    assert torch.equal(gradient, weight * batch.mask())


def test_another_element_type_leaves_the_coordinates_alone(random_batch):
    batch = random_batch()
    half = batch.to(dtype=torch.bfloat16)
    assert half.features.dtype == torch.bfloat16
    assert half.coordinates.dtype == torch.int32
    assert torch.equal(half.coordinates, batch.coordinates)


def test_a_copied_batch_has_the_same_values_and_coordinates_of_its_own(random_batch):
    batch = random_batch()
    copy = batch.copied()
    assert torch.equal(copy.coordinates, batch.coordinates)
    assert copy.coordinates.data_ptr() != batch.coordinates.data_ptr()
    assert copy.features is batch.features
    assert (copy.batch_size, copy.grid_size) == (batch.batch_size, batch.grid_size)
    copy.coordinates[0, 0] += 1
    assert not torch.equal(copy.coordinates, batch.coordinates)
