"""The gradient at the weights, whose pairs blocks share evenly, on tables of the tests' own."""

import pytest
import torch

from impls.cuda.launching import COUNT_PAIRS
from impls.cuda.places import CHUNK_ROWS, Places, Seen, Tuning
from impls.cuda.sites import KernelMap
from impls.cuda.tiles import Tile
from impls.cuda.weight_gradient import MOST_SUMS_EACH, GradientLaunch
from tests.cuda_on_host.build import COMPILER, MULTIPROCESSORS

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler here"),
    pytest.mark.usefixtures("nothing_is_zero_unasked"),
]

OFFSETS, INPUTS = 5, 300
INS, OUTS = 16, 24
families = pytest.mark.parametrize("family", ["tensor cores", "copied tiles", "tiles", "scaled"])


def random_table(rows, density=0.4):
    """Of neighbours that are random rows of the inputs; many where the density is high."""
    seen = torch.randint(INPUTS, (OFFSETS, rows), dtype=torch.int32)
    return torch.where(torch.rand(OFFSETS, rows) < density, seen, -1)


def with_few_pairs():
    table = random_table(70, density=0)
    table[1, 3], table[1, 69], table[4, 0] = 7, 299, 0
    return table


def with_some_offsets_empty():
    table = random_table(1500)
    table[[0, 2, 4]] = -2
    return table


def with_one_offset_full():
    table = random_table(1500, density=0)
    table[3] = random_table(1500, density=1)[3]
    return table


def uneven():
    """Full in one region and at one offset, as a shell is at its centre, and nearly empty elsewhere."""
    table = random_table(2 * CHUNK_ROWS + 100, density=0.02)
    dense = random_table(len(table[0]), density=1)
    table[2], table[:, 1000:1300] = dense[2], dense[:, 1000:1300]
    return table


TABLES = {
    "no rows": lambda: random_table(0),
    "one row": lambda: random_table(1, density=1),
    "a row less than a chunk": lambda: random_table(CHUNK_ROWS - 1),
    "a chunk": lambda: random_table(CHUNK_ROWS, density=1),
    "a row more than two chunks": lambda: random_table(2 * CHUNK_ROWS + 1),
    "no pairs": lambda: random_table(1100, density=0),
    "few pairs": with_few_pairs,
    "offsets without pairs": with_some_offsets_empty,
    "all pairs at one offset": with_one_offset_full,
    "uneven": uneven,
}


def launch_of(implementation, family, table, channels=(INS, OUTS)):
    """The gradient at the weights for random features and upstream rows."""
    dtype = torch.float16 if family == "tensor cores" else torch.float32
    dtype = torch.float64 if family == "tiles" else dtype
    sites = torch.zeros(0, 3, dtype=torch.int32)
    places = Places(sites, 1, (4, 4), implementation.launcher(), implementation.tuning)
    rows = table.shape[1]
    kernel_map = KernelMap(Seen(table), INPUTS, places.group_rows, places.count_pairs)
    return GradientLaunch(
        torch.randn(INPUTS, channels[0]).to(dtype),
        torch.randn(rows, channels[1]).to(dtype),
        torch.zeros(len(table), *channels, dtype=dtype),
        torch.rand(rows) if family == "scaled" else None,
        kernel_map,
        places,
        tensor_cores=family == "tensor cores",
    )


def expected(launch):
    """In float64."""
    upstream = launch.upstream.double()
    if launch.scale is not None:
        upstream = upstream * launch.scale.double()[:, None]
    features, gradient = launch.features.double(), launch.weight.double()
    for offset, seen in enumerate(launch.kernel_map.table.long()):
        (rows,) = torch.nonzero(seen >= 0, as_tuple=True)
        gradient[offset] = features[seen[rows]].T @ upstream[rows]
    return gradient


def check_gradient(launch):
    gradient = launch.run(launch.rule())
    tolerance = 2e-2 if gradient.dtype is torch.float16 else 1e-4
    torch.testing.assert_close(gradient.double(), expected(launch), rtol=tolerance, atol=tolerance)
    return gradient


@pytest.fixture(params=[1, 16, 50])
def shared(request, on_host):
    """Between a few blocks and more than there is work for."""
    subject = on_host(Tuning(share_rows=1), seed=1)
    subject.host.multiprocessors = lambda device: request.param
    return subject


@families
@pytest.mark.parametrize("table", TABLES)
def test_every_pair_is_added_once_by_however_many_blocks(shared, family, table):
    torch.manual_seed(0)
    launch = launch_of(shared, family, TABLES[table]())
    assert str(launch.family) == (family if family != "scaled" else "tiles")
    check_gradient(launch)


@families
def test_the_gradient_has_the_same_bits_at_every_run_and_in_every_order(on_host, family):
    gradients = []
    for seed in (0, 1, 2, 2):
        torch.manual_seed(0)
        launch = launch_of(on_host(Tuning(share_rows=64), seed), family, uneven())
        gradients.append(launch.run(launch.rule()))
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 1])
def test_pairs_are_counted_before_each_chunk_once_for_a_map(subject, rows):
    launch = launch_of(subject, "tiles", random_table(rows))
    chunks = (launch.kernel_map.table >= 0).split(CHUNK_ROWS, dim=1)
    counts = torch.stack([chunk.sum(1) for chunk in chunks], dim=1).flatten()
    if not rows:
        counts = counts[:0]
    wanted = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    assert torch.equal(launch.kernel_map.pairs_before, wanted)
    subject.host.launched.clear()
    launch.run(launch.rule())
    launch.run(launch.rule())
    assert COUNT_PAIRS not in subject.host.launched


@pytest.mark.parametrize(
    ("channels", "rows", "side"),
    [
        ((64, 64), 100_000, 64),
        ((64, 128), 100_000, 64),  # half of a wide tile would be empty
        ((128, 96), 100_000, 128),
        ((256, 256), 100_000, 128),
        ((128, 128), 1000, 64),  # too few to keep the device busy by wide tiles
    ],
)
def test_wide_tiles_are_the_rule_where_they_and_the_device_are_full(on_host, channels, rows, side):
    subject = on_host()
    subject.host.multiprocessors = lambda device: 132
    launch = launch_of(subject, "tensor cores", random_table(rows, density=0), channels)
    assert launch.rule().tile.columns == side


@pytest.mark.parametrize("channels", [16, 64, 128, 512])
def test_shares_take_128_kib_a_multiprocessor_and_once_the_weight_at_most(on_host, channels):
    launch = launch_of(
        on_host(), "tensor cores", random_table(100_000, density=0), (channels, channels)
    )
    for shape in launch.shapes():
        assert isinstance(shape.tile, Tile)
        tiles, parts, _ = launch._blocks(shape)
        sums = tiles * parts * shape.tile.rows * shape.tile.columns
        assert sums <= max(MULTIPROCESSORS * MOST_SUMS_EACH, channels**2)
