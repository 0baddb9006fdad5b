"""What keeps the CUDA kernels from running is said in words."""

import subprocess
import sys

import pytest
import torch

from bench.implementation import why_unsupported
from bench.operators import convolution
from impls.cuda import Cuda
from impls.cuda.availability import (
    why_not_importable,
    why_not_started,
    why_unavailable,
    why_unfit,
)
from impls.cuda.places import MOST_ROWS, check_count


def test_on_a_cpu_it_is_unavailable():
    assert "run on NVIDIA GPUs, not on cpu" in Cuda().unavailable(torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_is_unavailable():
    assert why_unavailable(torch.device("cuda")) in {
        f"torch {torch.__version__} was built without CUDA",
        "torch finds no NVIDIA driver and GPU here",
    }


def test_it_is_there_without_cupy_being_imported():
    code = "import sys\nfrom impls.cuda import Cuda\nassert Cuda().name == 'cuda'\n"
    subprocess.run([sys.executable, "-c", code + "assert 'cupy' not in sys.modules"], check=True)


def test_without_cupy_the_cure_is_the_wheel_for_torchs_cuda():
    error = ModuleNotFoundError("No module named 'cupy'", name="cupy")
    assert why_not_importable(error, "13.0") == (
        "CuPy is not installed; `pip install cupy-cuda13x` installs it"
    )


def test_a_cupy_that_does_not_import_is_quoted():
    reason = why_not_importable(ImportError("libnvrtc.so.12: cannot open\nmore"), "12.6")
    assert "ImportError: libnvrtc.so.12: cannot open)" in reason
    assert "cupy-cuda12x" in reason


@pytest.mark.parametrize("why", [lambda error: why_not_importable(error, "13.0"), why_not_started])
def test_where_cupy_may_not_keep_kernels_the_cure_is_another_folder(why, tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(OSError, match="home") as caught:  # as when CuPy is imported
        (tmp_path / "home" / "kernel_cache").mkdir()
    reason = why(caught.value)
    assert "set CUPY_CACHE_DIR to a folder" in reason
    assert "pip install" not in reason


def test_a_kernel_that_does_not_compile_is_quoted():
    reason = why_not_started(RuntimeError("no such instruction\nmore"))
    assert reason == "a first kernel does not compile or run: RuntimeError: no such instruction"


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (("13.0", 13020, 13000, (9, 0)), None),
        (("13.0", 12090, 13000, (9, 0)), "CuPy was built for CUDA 12.9, torch for 13.0"),
        (("13.0", 13020, 12040, (9, 0)), "the driver supports CUDA up to 12.4"),
        (("13.0", 13020, 13000, (7, 5)), "compute capability 7.5; the CUDA kernels need 8.0"),
    ],
)
def test_versions_that_do_not_fit_are_named(versions, words):
    reason = why_unfit(*versions)
    assert reason is None if words is None else words in reason


def test_more_sites_than_32_bits_number_are_refused_in_words():
    check_count(MOST_ROWS)
    with pytest.raises(ValueError, match=r"2147483648 active sites.*split the batch"):
        check_count(MOST_ROWS + 1)


def test_a_grid_of_four_axes_is_unsupported():
    operator = convolution(4, "full", 1, 1, 2)
    reason = why_unsupported(Cuda(), operator, torch.float32, torch.device("cuda"))
    assert "up to 3 spatial axes" in reason


def test_a_type_without_kernels_is_unsupported():
    operator = convolution(2, "full", 1, 1, 2)
    reason = why_unsupported(Cuda(), operator, torch.float8_e5m2, torch.device("cuda"))
    assert "not in torch.float8_e5m2" in reason
