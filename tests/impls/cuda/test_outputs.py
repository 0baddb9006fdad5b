"""Active output sites and the bitmap that they are found in, by one launch and by several."""

import pytest
import torch

from bench.operators import convolution
from bench.sites import output_sites
from bench.window import window
from impls.cuda.outputs import touched
from impls.cuda.places import Places, Tuning
from tests.cuda_on_host.build import COMPILER, HostLauncher

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]

FEW = {"find_few_outputs"}
MANY = {"touch_outputs", "count_tiles", "add_up_tiles", "emit_sites"}
GEOMETRIES = {
    "2D": ((14, 12), 0.2, (2, 2)),
    "2D, strided and dilated": ((31, 17), 0.3, (3, 2, 1, 2)),
    "2D, every site": ((9, 8), 1.0, (2, 2, 2)),
    "2D, no site": ((9, 8), 0.0, (2, 2, 2)),
    "2D, a grid of several rounds": ((601, 503), 0.001, (2, 2)),
    "2D, strided out of sight": ((7, 7), 0.02, (2, 1, 6)),
    "3D": ((7, 8, 6), 0.2, (3, 3, 1, 1)),
}


@pytest.fixture(params=[0, 3], ids=["ascending", "shuffled"])
def places_of(request, kernels_folder):
    """Makes `Places` of a batch's sites, with threads in ascending or shuffled order."""

    def make(batch, tuning):
        launcher = HostLauncher(kernels_folder, request.param)
        return Places(batch.coordinates, batch.batch_size, batch.grid_size, launcher, tuning)

    return make


@pytest.mark.parametrize("way", ["few", "many"])
@pytest.mark.parametrize(("grid_size", "density", "shape"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_output_sites_and_their_rows_are_the_references(
    places_of, random_batch, grid_size, density, shape, way
):
    batch = random_batch(grid_size, density=density)
    geometry = window(len(grid_size), *shape)
    places = places_of(batch, Tuning(bitmap_sites_each=2**20, few_pairs=-(way == "many") or 2**14))
    found = touched(places, geometry)
    wanted = output_sites(convolution(len(grid_size), "full", 1, 1, *shape), batch)
    assert torch.equal(found.coordinates, wanted)
    assert found.grid_size == geometry.output_grid(grid_size)
    launched = {kernel.name for kernel in places.launcher.launched}
    assert launched == (FEW if way == "few" else MANY if density else MANY - {"touch_outputs"})
    own = found.look_up_inputs(found.coordinates, window(len(grid_size), 1)).table
    assert torch.equal(own[0], torch.arange(len(wanted), dtype=torch.int32))


@pytest.mark.parametrize(
    ("tuning", "names"),
    [
        (Tuning(few_pairs=4 * 34, few_words=5), FEW),
        (Tuning(few_pairs=4 * 34 - 1, few_words=5), MANY),
        (Tuning(few_pairs=4 * 34, few_words=4), MANY),
    ],
)
def test_one_block_does_it_up_to_so_many_pairs_and_words(places_of, random_batch, tuning, names):
    batch = random_batch((9, 10), density=34 / 180)
    assert len(batch.coordinates) == 34
    places = places_of(batch, tuning)
    touched(places, window(2, 2))  # 8 x 9 sites twice: 144 bits, 5 words
    assert {kernel.name for kernel in places.launcher.launched} == names
