"""The stand-ins for CUDA's built-ins mean what CUDA's mean, and show what a GPU might hide."""

from ctypes import Structure, c_int32, c_void_p

import pytest
import torch

from tests.cuda_on_host.build import COMPILER, library, run

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")

NAMES = ("reverse", "reverse_without_barrier", "add_up", "stuck", "leave")
NAMES += ("vote_and_leave", "read_unwritten")


class Numbers(Structure):
    _fields_ = (("values", c_void_p), ("count", c_int32))


@pytest.fixture
def launch(kernels_folder):
    def start(name, values, count, *, blocks=1, threads=64, seed=0):
        parameters = Numbers(values.data_ptr(), count)
        loaded = library("examples.cu", NAMES, kernels_folder)
        run(loaded, NAMES.index(name), (blocks,), threads, parameters, seed)

    return start


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_barrier_makes_what_others_wrote_visible(launch, seed):
    values = torch.arange(64, dtype=torch.int32)
    launch("reverse", values, 64, seed=seed)
    assert torch.equal(values, torch.arange(63, -1, -1, dtype=torch.int32))


def test_a_missing_barrier_shows(launch):
    values = torch.arange(64, dtype=torch.int32)
    launch("reverse_without_barrier", values, 64)
    assert not torch.equal(values, torch.arange(63, -1, -1, dtype=torch.int32))


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffles_ballots_votes_and_atomics_reach_every_lane(launch, seed):
    numbers = torch.arange(1, 151, dtype=torch.int32)
    numbers[-1] = -150
    values = torch.cat([torch.zeros(3, dtype=torch.int32), numbers])
    launch("add_up", values, 150, blocks=3, seed=seed)
    assert values[:3].tolist() == [int(numbers.sum()), 75, 1]


def test_a_barrier_that_never_opens_is_said_and_the_next_launch_works(launch):
    values = torch.arange(64, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="wait at a barrier that others never reach"):
        launch("stuck", values, 32, threads=32)
    launch("reverse", values, 64)
    assert int(values[0]) == 63


def test_threads_that_left_are_not_waited_for(launch):
    values = torch.zeros(64, dtype=torch.int32)
    launch("leave", values, 40)
    assert values.tolist() == [1] * 40 + [0] * 24


@pytest.mark.parametrize("seed", [0, 1])
def test_the_votes_of_threads_that_left_since_count(launch, seed):
    values = torch.ones(40, dtype=torch.int32)
    values[:2] = 0
    launch("vote_and_leave", values, 40, threads=40, seed=seed)
    assert values.tolist() == [-4] * 32 + [255] * 8


def test_shared_memory_is_no_number_before_it_is_written(launch):
    values = torch.arange(64, dtype=torch.int32)
    launch("reverse", values, 64)
    launch("read_unwritten", values, 64)
    assert values.view(torch.float32).isnan().all()


def test_a_block_of_too_many_threads_is_refused(launch):
    with pytest.raises(RuntimeError, match="1025 threads"):
        launch("leave", torch.zeros(1, dtype=torch.int32), 0, threads=1025)
