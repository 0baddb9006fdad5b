"""The shapes that measuring may choose from: every one is right, on the CPU."""

import pytest

from bench.dtypes import torch_dtype
from impls.cuda.launching import VALUE_TYPES, all_kernels
from impls.cuda.tiles import CONVOLUTION, Family, Tile, Tiles
from tests.cuda_on_host.build import COMPILER
from tests.impls.cuda_cases import check_every_shape, every_type

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]


@every_type
def test_every_shape_is_right_and_every_kernel_is_one(on_host, random_batch, dtype):
    subject = on_host()
    check_every_shape(subject, random_batch, dtype)
    families = {"convolve_tiles", "convolve_few", "weight_gradient"}
    if dtype == "tf32":
        families.clear()
    if dtype in {"tf32", "float16", "bfloat16"}:
        families |= {"convolve_tensor_cores", "weight_gradient_tensor_cores"}
    wanted = {
        kernel.name
        for kernel in all_kernels()
        if f"<{VALUE_TYPES[torch_dtype(dtype)]}," in kernel.name
        and kernel.name.split("<")[0] in families
    }
    if dtype == "float32":
        wanted |= {kernel.name for kernel in all_kernels() if "_copied<" in kernel.name}
    assert wanted
    assert wanted <= {kernel.name for kernel in subject.host.launched}


def test_tiles_wider_than_one_that_holds_all_channels_are_left_out():
    tiles = Tiles((Tile(64, 16, 4, 4), Tile(64, 64, 4, 4)), (Tile(64, 32, 4, 4),))
    assert [tile.columns for tile in tiles.fitting(16)] == [16]
    assert [tile.columns for tile in tiles.fitting(17)] == [16, 32]
    assert [tile.columns for tile in tiles.fitting(1000)] == [16, 64, 32]
    assert [tiles.narrowest(channels).columns for channels in (16, 17, 1000)] == [16, 64, 64]


@pytest.mark.parametrize(
    ("rows", "channels", "wanted"),
    [
        (225_000, 32, "64x32"),
        (225_000, 64, "256x64"),
        (56_000, 64, "128x64"),
        (3_000, 64, "64x64"),
        (225_000, 128, "256x128"),
        (56_000, 128, "128x128"),
        (56_000, 256, "256x128"),
        (3_000, 128, "64x64"),
    ],
)
def test_the_rules_take_what_reads_least_of_the_tiles_that_leave_no_multiprocessor_idle(
    rows, channels, wanted
):
    tiles = CONVOLUTION[Family.TENSOR_CORES]
    assert str(tiles.choose(rows, channels, 2 * 132)) == wanted
