import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from impls.gather import compiled, loops
from impls.gather.pairs import Windows, pairs_of
from impls.gather.tiles import Shape, host_shape

CHANNELS = (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 64, 65)


def some_pairs(inputs, outputs, offsets, seed=0):
    """Pairs as a convolution might have them: each offset reaches a row at most once."""
    generator = torch.Generator().manual_seed(seed)

    def some(count, rows):
        return torch.randperm(rows, generator=generator)[:count].sort().values

    counts = torch.randint(min(inputs, outputs) + 1, (offsets,), generator=generator).tolist()
    return pairs_of([some(n, inputs) for n in counts], [some(n, outputs) for n in counts], outputs)


def expected(features, weight, bias, pairs):
    total = torch.zeros(pairs.output_count, weight.shape[2], dtype=torch.float64)
    total += bias.double()
    for offset, inputs, outputs in pairs.by_offset():
        total[outputs] += features[inputs].double() @ weight[offset].double()
    return total


def tolerance(dtype):
    return {torch.float32: 1e-4, torch.float64: 1e-12}[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_out", CHANNELS)
def test_every_number_of_channels_and_pairs_is_multiplied_right(dtype, channels_out):
    for channels_in, rows in ((1, 5), (3, 40), (16, 29), (37, 13)):
        pairs = some_pairs(rows, rows + 2, 5, seed=rows)
        features = torch.randn(rows, channels_in, dtype=dtype)
        weight = torch.randn(5, channels_in, channels_out, dtype=dtype)
        bias = torch.randn(channels_out, dtype=dtype)
        result = compiled.multiply(features, weight, bias, pairs)
        assert result.dtype is dtype
        wanted = expected(features, weight, bias, pairs)
        assert (result - wanted).abs().max() <= tolerance(dtype)
        upstream = torch.randn(rows + 2, channels_out, dtype=dtype)
        back = compiled.multiply_turned(upstream, weight, rows, pairs)
        wanted = torch.zeros(features.shape, dtype=torch.float64)
        for offset, inputs, outputs in pairs.by_offset():
            wanted[inputs] += upstream[outputs].double() @ weight[offset].double().T
        assert (back - wanted).abs().max() <= tolerance(dtype)
        gradient = compiled.weight_gradient(features, upstream, pairs)
        wanted = torch.zeros(weight.shape, dtype=torch.float64)
        for offset, inputs, outputs in pairs.by_offset():
            wanted[offset] = features[inputs].double().T @ upstream[outputs].double()
        assert (gradient - wanted).abs().max() <= tolerance(dtype)


def test_blocks_of_rows_and_chunks_of_pairs_add_up():
    pairs = some_pairs(5000, 6000, 4)
    features, weight = torch.randn(5000, 9), torch.randn(4, 9, 20)
    bias = torch.randn(20)
    result = compiled.multiply(features, weight, bias, pairs)
    assert (result - expected(features, weight, bias, pairs)).abs().max() <= 1e-4


def test_nothing_is_written_beside_the_rows_that_are_asked_for():
    pairs = some_pairs(30, 30, 3)
    whole = torch.full((32, 17), 7.0)
    places, empty = pairs.places, torch.empty(0).numpy()
    features, weight = torch.randn(30, 5).numpy(), torch.randn(3, 5, 17).numpy()
    rows, out = pairs.rows.numpy(), whole.numpy()
    loops.multiply_pairs(rows, places, False, features, weight, weight, empty, out, 8, 10, 20)  # noqa: FBT003
    assert bool((whole[:10] == 7).all())
    assert bool((whole[20:] == 7).all())
    assert not bool((whole[10:20] == 7).any())


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(threads, monkeypatch):
    monkeypatch.setattr(compiled, "THREAD_MULTIPLY_ADDS", 1)
    pairs = some_pairs(700, 800, 6)
    features, weight, upstream = torch.randn(700, 19), torch.randn(6, 19, 33), torch.randn(800, 33)
    seen = torch.randint(701, (3200,), dtype=torch.int32).numpy()  # 700 for an inactive site
    ends = np.arange(4, 3204, 4)
    windows = Windows(seen, np.stack((ends - 4, ends)))

    def everything():
        return (
            compiled.multiply(features, weight, None, pairs),
            *compiled.gradients(features, weight, upstream, pairs, (True, True, True)),
            compiled.pool(features, windows),
            *compiled.pool_with_source(features, windows),
        )

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = everything()
        torch.set_num_threads(threads)
        together = everything()
    finally:
        torch.set_num_threads(before)
    for one, many in zip(alone, together, strict=True):
        assert torch.equal(one, many)


@pytest.mark.parametrize("needed", list(itertools.product((True, False), repeat=3)))
def test_gradients_taken_in_one_call_are_those_taken_one_by_one(needed):
    pairs = some_pairs(70, 80, 6)
    features, weight, upstream = torch.randn(70, 5), torch.randn(6, 5, 33), torch.randn(80, 33)
    one_by_one = (
        compiled.multiply_turned(upstream, weight, 70, pairs),
        compiled.weight_gradient(features, upstream, pairs),
        compiled.sum_of_rows(upstream),
    )
    found = compiled.gradients(features, weight, upstream, pairs, needed)
    for wanted, gradient, is_needed in zip(one_by_one, found, needed, strict=True):
        assert torch.equal(gradient, wanted) if is_needed else gradient is None


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 1000])
def test_a_sum_of_rows_rounds_like_a_sum_of_sums(rows):
    values = torch.randn(rows, 7) + 100
    wanted = values.double().sum(0)
    assert (compiled.sum_of_rows(values) - wanted).abs().max() <= 2e-6 * max(1, rows) * 100


def test_what_one_thread_raises_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(compiled, "THREAD_MULTIPLY_ADDS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def call(first, last):
        if first:
            raise RuntimeError("the second part")

    with pytest.raises(RuntimeError, match="the second part"):
        compiled._spread(call, 2, 10)


@pytest.mark.parametrize(
    ("features", "architecture", "shape"),
    [
        ({"avx512f": True, "avx2": True}, "x86_64", Shape(64, 12)),
        ({"avx2": True}, "x86_64", Shape(32, 6)),
        ({}, "x86_64", Shape(16, 6)),
        ({"neon": True}, "aarch64", Shape(16, 12)),
    ],
)
def test_tiles_fit_the_processors_registers(features, architecture, shape):
    assert host_shape(features, architecture) == shape


ON_OTHER_PROCESSORS = """
import torch
from impls.gather import tiles
tiles.SHAPE = tiles.Shape({0}, {1})
from impls.gather import compiled
from impls.gather.pairs import pairs_of
rows = [torch.arange(13), torch.tensor([0, 5, 11])]
pairs = pairs_of(rows, rows, 13)
for channels in (1, 5, 8, 13, 16, 40):
    features, weight = torch.randn(13, 6), torch.randn(2, 6, channels)
    wanted = features @ weight[0]
    wanted[rows[1]] += features[rows[1]] @ weight[1]
    assert torch.allclose(compiled.multiply(features, weight, None, pairs), wanted, atol=1e-4)
    gradient = compiled.weight_gradient(features, wanted, pairs)
    assert torch.allclose(gradient[0], features.T @ wanted, atol=1e-3)
    assert torch.allclose(gradient[1], features[rows[1]].T @ wanted[rows[1]], atol=1e-3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(32, 6), (16, 12), (16, 6)])
def test_tiles_for_other_processors_are_right_too(shape, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    code = ON_OTHER_PROCESSORS.format(*shape)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
