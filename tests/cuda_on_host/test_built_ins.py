"""The stand-ins for CUDA's built-ins mean what CUDA's mean, and show what a GPU might hide."""

import platform
from ctypes import Structure, c_int32, c_void_p

import pytest
import torch

from tests.cuda_on_host.build import COMPILER, library, run, tensors_only

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")

NAMES = ("reverse", "reverse_without_barrier", "add_up", "stuck", "leave")
NAMES += ("vote_and_leave", "read_unwritten", "meet_elsewhere", "ask_who_left", "twice", "multiply")
NAMES += ("reverse_in_given", "load_askew", "shift<true>", "shift<false>")
MISTAKES = {
    "NO_WAIT": "race: read while a copy arrives there",
    "NO_BARRIER": r"race: \w+ after thread \d+ \w+ it, without a barrier between",
    "EARLY": r"race: written after thread \d+ read it, without a barrier between",
    "NEVER": "a thread ends while it copies",
    "ASKEW": "an asynchronous copy is not aligned to its size",
}
NAMES += ("leave_and_look<0>", "leave_and_look<1>", "count_oneself<true>", "count_oneself<false>")
NAMES += ("copy<NONE>", *(f"copy<{mistake}>" for mistake in MISTAKES))


class Numbers(Structure):
    _fields_ = (("values", c_void_p), ("count", c_int32))


@pytest.fixture
def launch(kernels_folder):
    def start(name, values, count, *, blocks=1, threads=64, seed=0, shared_bytes=0):
        parameters = Numbers(values.data_ptr(), count)
        loaded = library("examples.cu", NAMES, kernels_folder)
        run(loaded, NAMES.index(name), (blocks,), threads, parameters, seed, shared_bytes)

    return start


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_barrier_makes_what_others_wrote_visible(launch, seed):
    values = torch.arange(64, dtype=torch.int32)
    launch("reverse", values, 64, seed=seed)
    assert torch.equal(values, torch.arange(63, -1, -1, dtype=torch.int32))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["reverse_without_barrier", "shift<false>"])
def test_a_missing_barrier_is_said_in_whichever_order_threads_run(launch, name, seed):
    values = torch.arange(64, dtype=torch.int32)
    with pytest.raises(RuntimeError, match=r"race: .*, without a barrier between"):
        launch(name, values, 64, seed=seed)
    launch("reverse", values.copy_(torch.arange(64)), 64)  # what was said is forgotten
    assert int(values[0]) == 63


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_read_before_a_barrier_may_be_written_after_it(launch, seed):
    values = torch.arange(64, dtype=torch.int32)
    launch("shift<true>", values, 64, seed=seed)
    assert values.tolist() == [*range(1, 64), 0]


def test_threads_that_meet_at_different_barriers_are_said(launch):
    with pytest.raises(RuntimeError, match="threads wait at different barriers, in lines"):
        launch("meet_elsewhere", torch.zeros(64, dtype=torch.int32), 32)


def test_a_lane_that_gave_no_value_is_not_read_from(launch):
    values = torch.arange(32, dtype=torch.int32)
    launch("ask_who_left", values, 32, threads=32)
    assert values.tolist() == [0, *range(31)]
    with pytest.raises(RuntimeError, match="a warp lacks lanes that others read from"):
        launch("ask_who_left", values, 16, threads=32)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_block_hands_to_its_own_threads_in_device_memory_is_no_race(launch, seed):
    values = torch.zeros(128, dtype=torch.int32)
    launch("leave_and_look<1>", values, 64, threads=32, seed=seed)
    assert values[:32].tolist() == [1] * 32


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_a_block_hands_to_another_is_a_race(launch, seed):
    values = torch.zeros(256, dtype=torch.int32)
    launch("leave_and_look<0>", values, 128, blocks=4, threads=32, seed=seed)
    with pytest.raises(RuntimeError, match=r"race: another block (writes|reads) there"):
        launch("leave_and_look<1>", values, 128, blocks=4, threads=32, seed=seed)
    launch("leave_and_look<0>", values, 128, blocks=4, threads=32, seed=seed)


@pytest.mark.parametrize(("blocks", "threads"), [(1, 64), (2, 1)])
def test_atomics_are_no_race_with_each_other_but_with_all_else(launch, blocks, threads):
    values = torch.zeros(65, dtype=torch.int32)
    launch("count_oneself<false>", values, 65, blocks=blocks, threads=threads)
    assert int(values[0]) == blocks * threads
    with pytest.raises(RuntimeError, match="race: "):
        launch("count_oneself<true>", values, 65, blocks=blocks, threads=threads)


def test_what_lies_beside_a_tensor_is_not_touched(launch):
    several = torch.arange(66, dtype=torch.int32)
    with tensors_only():
        launch("reverse", several[1:65], 64)
        assert several.tolist() == [0, *range(64, 0, -1), 65]
        for beside in (several[:63], several[1:][:63]):
            with pytest.raises(RuntimeError, match="an address outside of every tensor"):
                launch("reverse", beside, 64)
    launch("reverse", several[:63], 64)


def test_what_is_copied_lies_in_a_tensor(launch):
    values = torch.arange(256, dtype=torch.int32)
    with tensors_only():
        launch("copy<NONE>", values, 256)
        with pytest.raises(RuntimeError, match="an address outside of every tensor"):
            launch("copy<NONE>", values[:255], 256)


@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_copied_is_there_after_a_wait_and_a_barrier(launch, seed):
    values = torch.arange(256, dtype=torch.int32)
    launch("copy<NONE>", values, 256, seed=seed)
    assert values[::4].tolist() == [*range(4, 256, 4), 0]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_copy_that_a_gpu_leaves_undefined_is_said(launch, mistake, seed):
    with pytest.raises(RuntimeError, match=MISTAKES[mistake]):
        launch(f"copy<{mistake}>", torch.arange(260, dtype=torch.int32), 256, seed=seed)


def test_a_matrix_row_that_is_not_aligned_is_said(launch):
    with pytest.raises(RuntimeError, match="a matrix's row is not in shared memory, aligned"):
        launch("load_askew", torch.arange(32, dtype=torch.int32), 32, threads=32)


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="only there it is flushed"
)
@pytest.mark.parametrize(("given", "wanted"), [(2**-130, 0.0), (2**-126, 2**-125), (1.0, 2.0)])
def test_what_is_smaller_than_normal_numbers_is_nothing(launch, given, wanted):
    value = torch.tensor([given], dtype=torch.float32)
    launch("twice", value, 1, threads=1)
    assert value.item() == wanted


def test_tensor_cores_drop_what_does_not_fit_a_sum(launch):
    value = torch.empty(32, dtype=torch.float32)
    launch("multiply", value, 32, threads=32)
    assert (value == 1 + 2**-23).all()


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


def test_shared_memory_that_the_launch_gives_is_as_large_as_the_kernel_takes_it_to_be(launch):
    values = torch.arange(64, dtype=torch.int32)
    launch("reverse_in_given", values, 64, shared_bytes=256)
    assert values.tolist() == list(range(63, -1, -1))
    for other in (0, 128, 512):
        words = f"shared memory of 256 bytes, launched with {other}"
        with pytest.raises(RuntimeError, match=words):
            launch("reverse_in_given", values, 64, shared_bytes=other)
    with pytest.raises(RuntimeError, match="a block cannot have 166913 bytes of shared memory"):
        launch("reverse_in_given", values, 64, shared_bytes=163 * 1024 + 1)


@pytest.mark.parametrize("threads", [65, 96])
def test_shared_memory_beyond_the_blocks_is_not_touched(launch, threads):
    values = torch.zeros(threads, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="shared memory beyond the block's"):
        launch("reverse_in_given", values, 64, threads=threads, shared_bytes=256)


def test_a_block_of_too_many_threads_is_refused(launch):
    with pytest.raises(RuntimeError, match="1025 threads"):
        launch("leave", torch.zeros(1, dtype=torch.int32), 0, threads=1025)


@pytest.mark.parametrize("blocks", [(0,), (1, 0), (1, 65536), (1, 1, 65536)])
def test_a_grid_that_no_gpu_has_is_refused(kernels_folder, blocks):
    values = torch.zeros(1, dtype=torch.int32)
    loaded = library("examples.cu", NAMES, kernels_folder)
    with pytest.raises(RuntimeError, match=rf"a grid cannot have {blocks[-1]} blocks along axis"):
        run(loaded, NAMES.index("twice"), blocks, 1, Numbers(values.data_ptr(), 1))
