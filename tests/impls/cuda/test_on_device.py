"""The CUDA implementation on a GPU, where there is one: CuPy compiles and launches."""

import json
import subprocess
import sys

import pytest
import torch

from bench.batch import SparseBatch
from bench.conformance.checks import Result, check, check_batch
from bench.network import single
from bench.operators import convolution
from impls.cuda import Cuda, choices
from tests.impls.cuda_cases import (
    SORTED_AND_WHOLE,
    TILES_AND_HASHES,
    cases,
    check_every_shape,
    check_shifted,
    every_type,
    half_cases,
    judged,
    network_in_tf32,
)

if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)
DEVICE = torch.device("cuda")
OPERATOR = convolution(2, "full", 5, 40, 3, 2, 1)

FIRST_BACKWARD = """
import torch
from bench.batch import SparseBatch
from bench.operators import convolution
from impls.cuda import Cuda

subject, operator = Cuda(), convolution(2, "submanifold", 1, 1, 3)
features = torch.tensor([[3.0]], device="cuda", requires_grad=True)
coordinates = torch.tensor([[0, 1, 1]], dtype=torch.int32, device="cuda")
module = subject.convolution(operator, torch.full((1, 1, 3, 3), 2.0, device="cuda"), None)
upstream = torch.ones((1, 1), device="cuda")
native = subject.encode(SparseBatch(coordinates, features, 1, (3, 3)))
subject.features(module(native)).backward(upstream)  # contiguous: torch launches nothing before
assert features.grad.item() == 2.0
assert module.weight.grad.sum().item() == 3.0
"""


class ByTilesAndHashes(Cuda):
    tuning = TILES_AND_HASHES


class SortedAndWhole(Cuda):
    tuning = SORTED_AND_WHOLE


@pytest.fixture(scope="module")
def subject():
    pytest.importorskip("cupy")
    assert Cuda().unavailable(DEVICE) is None
    return Cuda()


@pytest.fixture(autouse=True)
def _the_gpu_survives(request):
    """A kernel's fault shows at its own test, and a lost GPU ends the session: all else would fail."""
    yield
    try:
        torch.cuda.synchronize(DEVICE)
    except RuntimeError as error:
        pytest.exit(f"{request.node.name} left the GPU unusable: {error}", returncode=1)


@pytest.fixture
def layer(subject, random_batch):
    """A convolution's output and gradients, computed anew by an implementation."""
    batch = random_batch((40, 30), density=0.2, channels=5, dtype=torch.float32).to(DEVICE)

    def compute(implementation):
        torch.manual_seed(0)
        weight = torch.randn(OPERATOR.weight_shape).to(DEVICE)
        module = implementation.convolution(OPERATOR, weight, torch.ones(40, device=DEVICE))
        features = batch.features.clone().requires_grad_()
        native = implementation.encode(batch.with_features(features))
        output = implementation.decode(module(native))
        output.features.square().sum().backward()
        return output.coordinates, output.features, features.grad, module.weight.grad

    return compute


@pytest.mark.usefixtures("subject")
def test_the_first_launch_of_autograds_thread_finds_the_gpus_context():
    subprocess.run([sys.executable, "-c", FIRST_BACKWARD], check=True)


@cases(7)
def test_every_operator_is_right(subject, case):
    outcome = check(subject, case, DEVICE)
    assert outcome.result is Result.PASSED, outcome.reason


@cases(13)
@pytest.mark.usefixtures("subject")
def test_every_operator_is_right_by_tiles_and_hash_tables(case):
    outcome = check(ByTilesAndHashes(), case, DEVICE)
    assert outcome.result is Result.PASSED, outcome.reason


@half_cases
@pytest.mark.usefixtures("subject")
def test_half_types_are_right_on_tensor_cores(random_batch, dtype, rule, channels, tuned):
    operator = convolution(2, rule, *channels, 3, padding=1)
    batch = random_batch((40, 30), density=0.2, channels=channels[0], dtype=dtype)
    implementation = Cuda() if tuned == "subject" else SortedAndWhole()
    outcome = check_batch(implementation, single(operator), batch, DEVICE)
    assert outcome.result is Result.PASSED, outcome.reason


@every_type
@pytest.mark.usefixtures("subject")
def test_every_shape_that_measuring_may_choose_is_right(random_batch, dtype):
    check_every_shape(Cuda(), random_batch, dtype, DEVICE)


@pytest.mark.usefixtures("subject")
def test_what_was_tuned_is_right_and_known_to_the_next_process(layer, tmp_path, monkeypatch):
    monkeypatch.setenv(choices.VARIABLE, str(tmp_path))
    tuned = Cuda()
    tuned.tune(lambda: layer(tuned))  # warns, and so fails, where a shape is wrong
    (path,) = tmp_path.iterdir()
    problems = json.loads(path.read_text())["choices"]
    assert len(problems) == 3
    assert not any(problem["rejected"] for problem in problems.values())
    for found, wanted in zip(layer(tuned), layer(Cuda()), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    written = path.stat().st_mtime_ns
    again = Cuda()
    again.tune(lambda: layer(again))
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_rows_at_any_address_are_multiplied(subject, random_batch, dtype):
    check_shifted(subject, random_batch, dtype, DEVICE)


@pytest.mark.parametrize("channels", [1, 256])
def test_more_values_than_32_bits_can_number_are_reached(subject, channels):
    rows = 2**31 // 256 + 4096  # of as many features as that many channels hold, or outputs
    if torch.cuda.mem_get_info(DEVICE)[0] < 24 * 2**30:
        pytest.skip("too little memory is free")
    operator = convolution(2, "submanifold", channels, 256, 1)
    keys = torch.arange(rows, device=DEVICE)
    coordinates = torch.stack([torch.zeros_like(keys), keys // 4096, keys % 4096], 1).int()
    features = torch.ones((rows, channels), dtype=torch.float16, device=DEVICE)
    features[-100:] = 2
    weight = torch.full(operator.weight_shape, 1 / channels, dtype=torch.float16, device=DEVICE)
    module = subject.convolution(operator, weight, None)
    batch = SparseBatch(coordinates, features, 1, (rows // 4096 + 1, 4096))
    with torch.no_grad():
        output = subject.features(module(subject.encode(batch)))
    assert output.numel() > 2**31
    assert bool((output[-100:] == 2).all())
    assert bool((output[:-100] == 1).all())


def test_a_network_in_tf32_is_right_as_tf32_and_wrong_as_float32(subject, random_batch):
    batch = random_batch((40, 30), channels=16, dtype=torch.float32)
    assert judged(subject, network_in_tf32(), batch, DEVICE, tf32=True) is None
    assert "is wrong in" in judged(subject, network_in_tf32(), batch, DEVICE, tf32=False)


@pytest.mark.parametrize("kind", [Cuda, ByTilesAndHashes, SortedAndWhole])
def test_the_same_input_gives_the_same_bits(layer, kind):
    assert all(map(torch.equal, layer(kind()), layer(kind())))


def test_kernels_are_launched_on_the_stream_that_is_current(layer):
    usual = layer(Cuda())
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # what was launched elsewhere would not wait for this
        found = layer(Cuda())
    stream.synchronize()
    assert all(map(torch.equal, usual, found))
