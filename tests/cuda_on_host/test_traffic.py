"""What kernels ask of memory is counted as a GPU would serve it."""

from ctypes import Structure, c_int32, c_void_p

import pytest
import torch

from bench.operators import convolution
from suites.patterns import Uniform
from tests.cuda_on_host.build import COMPILER, library, run
from tests.cuda_on_host.traffic import CountingLauncher, count, taken

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here")

NAMES = ("stride<1>", "stride<2>", "stride<32>", "load_columns", "copy_rows")
NAMES += ("load_alike<1>", "load_alike<2>", "load_alike<4>", "load_alike<16>")


class Numbers(Structure):
    _fields_ = (("values", c_void_p), ("count", c_int32))


@pytest.fixture
def counted(kernels_folder):
    """Requests, units and fewest units of one warp, by whether they are shared memory's, and so on."""

    def start(name):
        values = torch.zeros(32 * 32 + 8, dtype=torch.int32)
        aligned = values[-(values.data_ptr() // 4) % 8 :]  # to a sector
        loaded = library("examples.cu", NAMES, kernels_folder, counting=True)
        run(loaded, NAMES.index(name), (1,), 32, Numbers(aligned.data_ptr(), 32))
        return {
            (bool(row.is_shared), bool(row.writes), row.bytes): (
                row.requests,
                row.units,
                row.fewest,
            )
            for _, row in taken(loaded)
        }

    return start


@pytest.mark.parametrize(("stride", "wavefronts", "sectors"), [(1, 1, 4), (2, 2, 8), (32, 32, 32)])
def test_words_apart_meet_in_banks_and_lie_in_more_sectors(counted, stride, wavefronts, sectors):
    found = counted(f"stride<{stride}>")
    assert found[True, True, 4] == (1, wavefronts, 1)
    assert found[False, False, 4] == (1, sectors, 4)


def test_rows_of_a_matrix_in_the_same_banks_are_served_one_after_the_other(counted):
    found = counted("load_columns")
    assert found[True, False, 16] == (1, 4 * 4, 4)  # each of four matrices in four times the least
    assert found[False, True, 4] == (1, 4, 4)


@pytest.mark.parametrize(("apart", "wavefronts"), [(1, 2), (2, 2), (4, 4), (16, 4)])
def test_a_load_by_pairs_of_near_lanes_is_served_half_a_warp_at_a_time(counted, apart, wavefronts):
    assert counted(f"load_alike<{apart}>")[True, False, 16] == (1, wavefronts, 2)


def test_an_asynchronous_copy_reads_device_memory_and_writes_shared_memory(counted):
    assert counted("copy_rows") == {(True, True, 16): (1, 4, 4), (False, False, 16): (1, 16, 16)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_steps_of_convolutions_and_their_gradients_have_no_bank_conflicts(kernels_folder, dtype):
    batch = Uniform((9, 9), 1, 0.5).batch(32, 0)
    batch = batch.with_features(batch.features.to(dtype))
    launcher = CountingLauncher(kernels_folder)
    count(launcher, convolution(2, "submanifold", 32, 32, 3), batch, "float16")
    shared = {
        name.split("<")[0]: (each.units, each.fewest)
        for (name, kind, size, _), each in launcher.counted.items()
        if kind.startswith("shared") and size == 16
    }
    suffix = "copied" if dtype is torch.float32 else "tensor_cores"
    assert shared.keys() == {f"convolve_{suffix}", f"weight_gradient_{suffix}"}
    for units, fewest in shared.values():
        assert units == fewest
