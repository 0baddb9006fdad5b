import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from bench.errors import UserError
from suites import patterns
from suites.patterns import Blobs, PenStrokes, Shell, Uniform

PATTERNS = [
    Uniform((20, 30), 3, 0.2),
    Uniform((8, 9, 10), 3, 0.2),
    Blobs((20, 30), 3, 0.2),
    Blobs((8, 9, 10), 3, 0.2),
    PenStrokes((48, 60), 3, 32),
    PenStrokes((48, 60), 3, 16, characters=4),
    Shell((16, 18, 20), 3),
]
every_pattern = pytest.mark.parametrize(
    "pattern", PATTERNS, ids=lambda p: f"{type(p).__name__}-{len(p.grid_size)}d"
)
EIGHT_NEIGHBOURS = np.ones((3, 3))


def masks(pattern, seed=0):
    """One boolean array a sample."""
    return list(pattern.batch(1, seed).mask().squeeze(1).numpy())


@every_pattern
def test_a_batch_is_canonical_float32_of_the_channels_asked_for(pattern):
    batch = pattern.batch(5, 0)
    assert batch.features.dtype == torch.float32
    assert batch.features.shape == (batch.sites, 5)
    assert (batch.batch_size, batch.grid_size) == (3, pattern.grid_size)
    assert batch.checked().sorted() is batch
    assert min(mask.sum() for mask in masks(pattern)) > 0


@every_pattern
def test_the_same_seed_gives_the_same_batch(pattern):
    first, second = pattern.batch(2, 7), pattern.batch(2, 7)
    assert torch.equal(first.coordinates, second.coordinates)
    assert torch.equal(first.features, second.features)


@every_pattern
def test_torchs_own_seed_has_no_say(pattern):
    torch.manual_seed(1)
    first = pattern.batch(2, 7)
    torch.manual_seed(2)
    assert torch.equal(first.coordinates, pattern.batch(2, 7).coordinates)
    assert torch.equal(first.features, pattern.batch(2, 7).features)


@every_pattern
def test_another_seed_and_another_sample_are_other_drawings(pattern):
    first, second = pattern.batch(2, 0), pattern.batch(2, 1)
    assert not torch.equal(first.coordinates, second.coordinates)
    one, two, three = masks(pattern)
    assert not np.array_equal(one, two)
    assert not np.array_equal(two, three)


@every_pattern
def test_the_number_of_channels_does_not_move_the_sites(pattern):
    assert torch.equal(pattern.batch(1, 3).coordinates, pattern.batch(9, 3).coordinates)


def test_what_a_seed_means_stays_what_it_meant_or_the_version_is_raised():
    batch = Uniform((9, 8), 2, 0.25).batch(3, 7)
    assert Uniform.version == 1
    assert batch.sites == 36
    assert batch.coordinates[:6].tolist() == [
        [0, 0, 5],
        [0, 1, 5],
        [0, 2, 0],
        [0, 2, 1],
        [0, 2, 4],
        [0, 2, 5],
    ]


@given(
    st.sampled_from([Uniform, Blobs]),
    st.sampled_from([(12, 17), (6, 7, 8)]),
    st.integers(1, 3),
    st.floats(0, 1),
)
def test_the_density_of_every_sample_is_exact(kind, grid_size, batch_size, density):
    batch = kind(grid_size, batch_size, density).batch(1, 0)
    per_sample = batch.mask().flatten(1).sum(1)
    assert per_sample.tolist() == [round(density * math.prod(grid_size))] * batch_size


@pytest.mark.parametrize("kind", [Uniform, Blobs])
def test_a_density_of_zero_is_empty_and_of_one_full(kind):
    assert kind((6, 7), 2, 0.0).batch(1, 0).sites == 0
    assert kind((6, 7), 2, 1.0).batch(1, 0).density == 1


@pytest.mark.parametrize("most_shuffled", [patterns.MOST_SHUFFLED, 0])
def test_uniform_sites_lie_evenly(most_shuffled, monkeypatch):
    monkeypatch.setattr(patterns, "MOST_SHUFFLED", most_shuffled)
    mask = masks(Uniform((64, 64), 1, 0.5))[0]
    assert mask.sum() == 64 * 64 / 2
    for part in (mask[:32], mask[32:], mask[:, :32], mask[:, 32:]):
        assert part.mean() == pytest.approx(0.5, abs=0.05)
    assert neighbour_share(mask) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("most_shuffled", [patterns.MOST_SHUFFLED, 0])
def test_every_set_of_sites_is_equally_likely(most_shuffled, monkeypatch):
    """Three of six: twenty sets, each expected two hundred times."""
    monkeypatch.setattr(patterns, "MOST_SHUFFLED", most_shuffled)
    drawn = np.stack(masks(Uniform((2, 3), 4000, 0.5))).reshape(4000, 6)
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == math.comb(6, 3)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_billion_sites_take_no_longer_than_those_that_are_active():
    batch = Uniform((1024, 1024, 1024), 2, 1e-5).batch(1, 0)
    assert batch.sites == 2 * 10737
    assert batch.coordinates[:2].tolist() == [[0, 0, 84, 12], [0, 0, 89, 798]]
    assert batch.coordinates[:, 1:].double().mean().item() == pytest.approx(511.5, rel=0.01)


def neighbour_share(mask):
    """Share of active sites whose neighbour along the first axis is active, too."""
    return (mask[1:] & mask[:-1]).sum() / mask.sum()


@pytest.mark.parametrize("grid_size", [(64, 64), (20, 20, 20)], ids=str)
def test_blobs_cluster_and_coarser_ones_more(grid_size):
    uniform, fine, coarse = (
        neighbour_share(masks(pattern)[0])
        for pattern in (
            Uniform(grid_size, 1, 0.2),
            Blobs(grid_size, 1, 0.2, coarseness=3),
            Blobs(grid_size, 1, 0.2, coarseness=10),
        )
    )
    assert uniform < 0.3
    assert fine > uniform + 0.2
    assert coarse > fine


@pytest.mark.parametrize("seed", range(5))
def test_doubling_grid_and_scale_doubles_the_sites_of_the_same_drawing(seed):
    counts = [
        PenStrokes((grid, grid), 4, grid * 2 // 3).batch(1, seed).sites
        for grid in (48, 96, 192, 384, 768)
    ]
    for smaller, larger in itertools.pairwise(counts):
        assert 1.8 <= larger / smaller <= 2.2


def test_a_doubled_drawing_is_the_same_drawing():
    small = masks(PenStrokes((96, 96), 2, 64), seed=3)
    large = masks(PenStrokes((192, 192), 2, 128), seed=3)
    for one, two in zip(small, large, strict=True):
        halved = two.reshape(96, 2, 96, 2).any(axis=(1, 3))
        near = ndimage.binary_dilation(one, EIGHT_NEIGHBOURS)
        assert not (halved & ~near).any()
        assert not (one & ~ndimage.binary_dilation(halved, EIGHT_NEIGHBOURS)).any()


def test_strokes_are_one_pixel_wide():
    for mask in masks(PenStrokes((768, 768), 8, 512)):
        # A two by two block stands at a crossing or a bend; a line two wide would be made of them.
        blocks = mask[1:, 1:] & mask[1:, :-1] & mask[:-1, 1:] & mask[:-1, :-1]
        assert blocks.sum() < 0.03 * mask.sum()


def test_strokes_have_no_gaps():
    for mask in masks(PenStrokes((768, 768), 8, 512)):
        _, pieces = ndimage.label(mask, EIGHT_NEIGHBOURS)
        assert pieces <= 3


@pytest.mark.parametrize("scale", [1, 32, 48])
def test_one_character_stands_in_the_middle_and_within_its_scale(scale):
    for mask in masks(PenStrokes((48, 60), 5, scale)):
        rows, columns = np.nonzero(mask)
        assert np.ptp(rows) < scale
        assert np.ptp(columns) < scale
        assert (48 - scale) // 2 <= rows.min()
        assert (60 - scale) // 2 <= columns.min()


def test_several_characters_are_several_drawings():
    one = PenStrokes((96, 96), 4, 24).batch(1, 0).sites
    four = PenStrokes((96, 96), 4, 24, characters=4).batch(1, 0).sites
    assert 2.5 * one < four < 5 * one


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("grid", [16, 32, 64])
def test_a_shell_is_a_closed_surface_one_site_thick(grid, seed):
    area = 4 * math.pi * (0.38 * grid) ** 2
    for mask in masks(Shell((grid,) * 3, 2), seed):
        assert mask.sum() == pytest.approx(area, rel=0.2)
        assert not ndimage.binary_erosion(mask).any()
        _, pieces = ndimage.label(mask, np.ones((3, 3, 3)))
        assert pieces == 1
        # Closed: with holes of a site or two stopped, nothing gets from the centre to the corner.
        outside, _ = ndimage.label(~ndimage.binary_dilation(mask, np.ones((3, 3, 3))))
        assert outside[(grid // 2,) * 3] != outside[0, 0, 0]
        assert not mask[(grid // 2,) * 3]


def test_a_shells_sites_grow_with_the_square_of_the_grid():
    counts = [Shell((grid,) * 3, 2).batch(1, 0).sites for grid in (16, 32, 64)]
    for smaller, larger in itertools.pairwise(counts):
        assert larger / smaller == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("kind", [Uniform, Blobs])
@pytest.mark.parametrize("density", [-0.01, 1.01, math.nan, math.inf])
def test_a_density_beyond_zero_to_one_is_refused(kind, density):
    with pytest.raises(UserError, match=r"density .* is not between 0 and 1"):
        kind((6, 7), 1, density).batch(1, 0)


def test_strokes_in_3d_and_a_shell_in_2d_are_refused():
    with pytest.raises(UserError, match=r"pen strokes are drawn in 2D, not .*\(8, 8, 8\)"):
        PenStrokes((8, 8, 8), 1, 4)
    with pytest.raises(UserError, match=r"a shell is drawn in 3D, not .*\(8, 8\)"):
        Shell((8, 8), 1)


def test_strokes_of_a_scale_at_which_they_would_have_gaps_are_refused():
    with pytest.raises(UserError, match="scale 4097 is beyond 4096, where strokes have gaps"):
        PenStrokes((5000, 5000), 1, 4097)


def test_a_character_larger_than_its_field_is_refused():
    with pytest.raises(UserError, match=r"scale 31 does not fit on a grid of \(40, 30\)"):
        PenStrokes((40, 30), 1, 31)
    assert PenStrokes((40, 30), 1, 30).batch(1, 0).sites > 0


@pytest.mark.parametrize("pattern", [Uniform((0, 7), 1, 0.5), Uniform((), 1, 0.5)], ids=str)
def test_a_grid_without_sites_is_refused(pattern):
    with pytest.raises(UserError, match="must be positive"):
        pattern.batch(1, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform((6, 7), 0, 0.5),
        lambda: PenStrokes((48, 48), 0, 32),
        lambda: Shell((8, 8, 8), 0),
        lambda: Blobs((16,), 1, 0.5),
        lambda: Blobs((16, 16), 1, 0.5, coarseness=0),
        lambda: PenStrokes((48, 48), 1, -5),
        lambda: PenStrokes((48, 48), 1, 32, characters=0),
    ],
    ids=[
        "uniform without samples",
        "strokes without samples",
        "shells without samples",
        "blobs on a line",
        "blobs of no size",
        "strokes of negative scale",
        "no characters",
    ],
)
def test_other_arguments_that_make_no_sense_are_refused(make):
    with pytest.raises(UserError):
        make().batch(1, 0)


@every_pattern
def test_a_pattern_is_frozen_and_equal_by_its_fields(pattern):
    again = dataclasses.replace(pattern)
    assert again == pattern
    assert hash(again) == hash(pattern)
    with pytest.raises(dataclasses.FrozenInstanceError):
        pattern.batch_size = 7
