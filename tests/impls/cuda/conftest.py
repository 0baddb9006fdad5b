"""The CUDA implementation with its kernels built by the host's compiler, tuned in different ways."""

import pytest
import torch

from impls.cuda import Cuda
from impls.cuda.places import Tuning
from tests.cuda_on_host.build import HostLauncher, tensors_only
from tests.impls.cuda_cases import SORTED_AND_WHOLE, TILES_AND_HASHES


class OnHost(Cuda):
    def __init__(self, folder, tuning=None, seed=0):
        self.host = HostLauncher(folder, seed)
        self.tuning = tuning or Tuning()

    def unavailable(self, device):
        return None

    def launcher(self):
        return self.host


@pytest.fixture(scope="session")
def subject(kernels_folder):
    return OnHost(kernels_folder)


@pytest.fixture(scope="session")
def other_way(kernels_folder):
    return OnHost(kernels_folder, TILES_AND_HASHES, seed=1)


@pytest.fixture(scope="session")
def whole(kernels_folder):
    return OnHost(kernels_folder, SORTED_AND_WHOLE, seed=2)


@pytest.fixture(scope="session")
def on_host(kernels_folder):
    """Makes one that is tuned otherwise, or whose threads run in another order."""
    return lambda tuning=None, seed=0: OnHost(kernels_folder, tuning, seed)


@pytest.fixture(autouse=True, scope="module")
def _nothing_but_tensors_is_touched():
    with tensors_only():
        yield


@pytest.fixture
def nothing_is_zero_unasked():
    """Memory that nobody filled holds NaNs and large numbers; on a GPU, what others left there."""
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)
