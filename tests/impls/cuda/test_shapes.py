"""The shapes that measuring may choose from: every one is right, on the CPU."""

import pytest
import torch

from bench.dtypes import torch_dtype
from bench.operators import convolution
from impls.cuda.launching import VALUE_TYPES, all_kernels, tiles_within
from impls.cuda.places import Places, Tuning
from impls.cuda.products import Product, ProductLaunch
from impls.cuda.sites import Sites
from impls.cuda.tiles import CONVOLUTION, Family, Tile, Tiles
from tests.cuda_on_host.build import COMPILER, HostLauncher
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


@pytest.mark.parametrize(
    ("shared_kibibytes", "wanted"), [(227, "256x128"), (163, "256x128"), (99, "128x128")]
)
def test_tiles_that_a_smaller_gpus_shared_memory_does_not_hold_are_left_out(
    shared_kibibytes, wanted
):
    tiles = tiles_within(Family.TENSOR_CORES, shared_kibibytes * 2**10)
    assert str(tiles.choose(225_000, 128, 2 * 132)) == wanted
    assert wanted in map(str, tiles.fitting(128))
    assert len(tiles.by_rule) == 2


@pytest.mark.parametrize("family", CONVOLUTION)
def test_what_the_rules_fall_back_on_is_held_by_every_gpu(family):
    assert tiles_within(family, 48 * 2**10).by_rule == CONVOLUTION[family].by_rule


def test_a_convolution_heeds_how_much_shared_memory_there_is(kernels_folder, random_batch):
    launcher = HostLauncher(kernels_folder, most_shared_bytes=48 * 2**10)
    sites = random_batch((16, 16), density=0.5).coordinates
    places = Places(sites, 2, (16, 16), launcher, Tuning(tiles_each=0))
    features = torch.zeros((places.count, 128), dtype=torch.float16)
    weight = torch.zeros((9, 128, 128), dtype=torch.float16)
    window = convolution(2, "submanifold", 128, 128, 3).window
    kernel_map, _ = Sites(places).kernel_map(window, submanifold=True)
    launch = ProductLaunch(Product(features, weight, kernel_map, tensor_cores=True), places)
    assert str(launch.rule().tile) == "64x64"
    assert {str(shape.tile) for shape in launch.candidates()} == {"64x32", "64x64"}
    launcher.most_shared_bytes = 99 * 2**10
    assert str(launch.rule().tile) == "128x128"
