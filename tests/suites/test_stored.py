"""Sites from a file of one's own."""

import numpy as np
import pytest
import torch
from refusals import refusal

from bench.network import single
from bench.operators import max_pooling
from bench.workload import Workload
from suites.stored import stored_sites

GRID = (4, 5)
ROWS = [[0, 3, 4], [1, 0, 0], [0, 1, 2]]


@pytest.fixture
def stored(tmp_path):
    def write(rows, name="sites.npy", dtype=np.int64):
        path = tmp_path / name
        np.save(path, np.array(rows, dtype=dtype))
        return path

    return write


def test_rows_become_a_batch_in_canonical_order_with_random_features(stored):
    batch = stored_sites(stored(ROWS), GRID, batch_size=2).batch(channels=3, seed=7)
    assert batch.coordinates.tolist() == sorted(ROWS)
    assert (batch.batch_size, batch.grid_size, batch.channels) == (2, GRID, 3)
    again = stored_sites(stored(ROWS), GRID, batch_size=2).batch(channels=3, seed=7)
    assert torch.equal(batch.features, again.features)


def test_without_a_batch_index_all_sites_are_one_samples(stored):
    batch = stored_sites(stored([[3, 4], [0, 0]], dtype=np.uint16), GRID).batch(1, 0)
    assert batch.coordinates.tolist() == [[0, 0, 0], [0, 3, 4]]


def test_no_rows_are_a_batch_without_sites(stored):
    assert stored_sites(stored(np.zeros((0, 3))), GRID).batch(2, 0).sites == 0


def test_a_workload_is_known_by_the_files_content_not_by_its_place(stored):
    def workload(path):
        return Workload("pool", single(max_pooling(2, 2, 2)), stored_sites(path, GRID, 2), 1)

    here, there = workload(stored(ROWS)), workload(stored(ROWS, "copy.npy"))
    assert here.version() == there.version()
    assert "sites.npy" not in str(here.definition())
    assert workload(stored(ROWS[:2])).version() != here.version()


@pytest.mark.parametrize(
    ("rows", "dtype", "words"),
    [
        ([[0.5, 1, 2]], np.float64, "is not one array of integers"),
        ([0, 1, 2], np.int64, "has shape (3,); a grid with 2 axes needs [N, 3], batch index first"),
        ([[0, 1, 2, 3]], np.int64, "has shape (1, 4); a grid with 2 axes needs [N, 3]"),
        ([[0, -1, 2]], np.int64, "has coordinates below 0 or beyond 32 bits"),
        ([[0, 2**40, 2]], np.int64, "has coordinates below 0 or beyond 32 bits"),
        ([[0, 4, 2]], np.int64, "coordinates row 0 is [0, 4, 2], outside of batch size 1"),
        ([[0, 1, 2], [0, 1, 2]], np.int64, "coordinates rows 0 and 1 are both [0, 1, 2]"),
    ],
)
def test_sites_that_cannot_be_are_refused_with_the_files_name(rows, dtype, words, stored):
    path = stored(rows, dtype=dtype)
    told = refusal(stored_sites(path, GRID).batch, 1, 0)
    assert told.startswith(str(path))
    assert words in told


def test_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "sites.npy"
    path.write_text("0 1 2")
    told = refusal(stored_sites(path, GRID).batch, 1, 0)
    assert told.startswith(f"{path} is not an array in NumPy's format: ")
    path.write_bytes(b"PK\x03\x04 and no archive")
    assert "is not an array in NumPy's format" in refusal(stored_sites(path, GRID).batch, 1, 0)
    assert refusal(stored_sites, tmp_path / "none.npy", GRID) == (
        f"{tmp_path / 'none.npy'} cannot be read: No such file or directory"
    )
    np.savez(tmp_path / "more.npz", first=np.zeros(3))
    told = refusal(stored_sites(tmp_path / "more.npz", GRID).batch, 1, 0)
    assert told.endswith("is not one array of integers")
