"""Sites from a file of one's own."""

import numpy as np
import pytest
import torch
from refusals import refusal

from bench.cli.main import main
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


def test_sizes_may_be_numpys_integers_and_nothing_with_a_fraction(stored):
    path = stored(ROWS)
    computed = stored_sites(path, tuple(np.array(ROWS)[:, 1:].max(0) + 1), np.int64(2))
    network = single(max_pooling(2, 2, 2))
    versions = {
        Workload("pool", network, sites, 1).version()
        for sites in (computed, stored_sites(path, GRID, 2))
    }
    assert len(versions) == 1
    batch = computed.batch(1, 0)
    assert {type(size) for size in (*batch.grid_size, batch.batch_size)} == {int}
    for grid, batch_size in [((4.0, 5), 2), (4, 2), (GRID, 2.0)]:
        assert refusal(stored_sites, path, grid, batch_size) == (
            f"grid size {grid!r} and batch size {batch_size!r}: the first is (H, W) or (D, H, W), and "
            f"all are whole numbers"
        )


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
        ([[0.5, 1, 2]], np.float64, "holds float64, where sites are integers"),
        ([[None, 1, 2]], object, "is not an array in NumPy's format"),
        ([0, 1, 2], np.int64, "has shape (3,); a grid with 2 axes needs [N, 3], batch index first"),
        ([[0, 1, 2, 3]], np.int64, "has shape (1, 4); a grid with 2 axes needs [N, 3]"),
    ],
)
def test_an_array_that_lists_no_sites_is_refused_before_it_is_read(rows, dtype, words, stored):
    path = stored(rows, dtype=dtype)
    told = refusal(stored_sites, path, GRID)
    assert told.startswith(str(path))
    assert words in told


@pytest.mark.parametrize("rest", [0, 5, 60, 128, 130, -1])
def test_a_file_that_was_cut_off_is_refused_before_it_is_read(rest, stored):
    path = stored(ROWS)
    path.write_bytes(path.read_bytes()[:rest])
    told = refusal(stored_sites, path, GRID, 2)
    assert told.startswith(f"{path} is not an array in NumPy's format: ")


@pytest.mark.parametrize(
    "header",
    [
        *("{'descr': '<i8', (", "{'descr': 3", "  1"),
        "{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999, 3)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (True, 3)}",
    ],
)
def test_a_header_that_is_none_is_refused(header, stored):
    path = stored(ROWS)
    content = path.read_bytes()
    path.write_bytes(content[:10] + header.encode().ljust(118) + content[128:])
    assert "is not an array in NumPy's format: " in refusal(stored_sites, path, GRID, 2)


def test_a_file_that_changes_later_is_refused_when_it_is_read(stored):
    path = stored(ROWS)
    sites = stored_sites(path, GRID, 2)
    np.save(path, np.array(ROWS[:1]))
    told = refusal(sites.batch, 1, 0)
    assert told == f"{path} has changed since the suite was loaded: begin anew"
    path.unlink()
    assert refusal(sites.batch, 1, 0).startswith(f"{path} cannot be read: ")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0, -1, 2]], "below 0 or beyond 32 bits; the first in row 0, which is [0, -1, 2]"),
        (
            [[0, 0, 2], [0, 2**40, 2]],
            "below 0 or beyond 32 bits; the first in row 1, which is [0, 10995",
        ),
        ([[0, 4, 2]], "coordinates row 0 is [0, 4, 2], outside of batch size 1"),
        ([[0, 1, 2], [0, 1, 2]], "coordinates rows 0 and 1 are both [0, 1, 2]"),
    ],
)
def test_sites_that_cannot_be_are_refused_with_the_files_name(rows, words, stored):
    path = stored(rows)
    told = refusal(stored_sites(path, GRID).batch, 1, 0)
    assert told.startswith(str(path))
    assert words in told


def test_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "sites.npy"
    path.write_text("0 1 2")
    told = refusal(stored_sites, path, GRID)
    assert told.startswith(f"{path} is not an array in NumPy's format: ")
    path.write_bytes(b"PK\x03\x04 and no archive")
    assert "is not an array in NumPy's format" in refusal(stored_sites, path, GRID)
    assert refusal(stored_sites, tmp_path / "none.npy", GRID) == (
        f"{tmp_path / 'none.npy'} cannot be read: No such file or directory"
    )
    np.savez(tmp_path / "more.npz", first=np.zeros(3))
    told = refusal(stored_sites, tmp_path / "more.npz", GRID)
    assert "is not an array in NumPy's format: the magic string" in told


SUITE_OF = """
from pathlib import Path

from bench.network import single
from bench.operators import max_pooling
from bench.workload import Suite, Workload
from suites.stored import stored_sites

def workloads():
    sites = stored_sites(Path(__file__).with_name("sites.npy"), (4, 5), 2)
    return (Workload("pool", single(max_pooling(2, 2, 2)), sites, 1),)

SUITE = Suite("own-sites", "sites of a file", workloads)
"""


def test_a_damaged_file_of_sites_ends_a_command_before_anything_is_measured(
    stored, tmp_path, capsys
):
    path = stored(ROWS)
    path.write_bytes(path.read_bytes()[:-1])
    suite = tmp_path / "own_sites.py"
    suite.write_text(SUITE_OF)
    target = tmp_path / "run.json"
    assert main(["run", str(suite), "--impl", "gather", "-o", str(target)]) == 2
    told = capsys.readouterr().err
    words = f"suite 'own-sites': {path} is not an array in NumPy's format: "
    assert told.startswith(f"sparsebench: error: {words}")
    assert told.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == [
        *("own_sites.py", "sites.npy"),
    ]
