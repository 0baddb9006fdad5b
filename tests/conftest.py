import math
import os

import pytest
import torch
from hypothesis import settings

from bench.batch import SparseBatch, coordinates_of
from bench.cli.check_cases import check_cases
from bench.conformance import processes
from bench.conformance.messages import Record

TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""By which whoever starts the tests may say that output goes to a terminal, and to which."""

torch.set_num_threads(1)
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _locks_of_its_own(tmp_path_factory):
    """Tests measure nothing that counts: they need not wait for a run that does, nor hold it up."""
    folder = tmp_path_factory.mktemp("locks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSEBENCH_LOCKS", str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_terminal():
    """What is printed is as wide and as plain wherever the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in TERMINAL:
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _git_of_its_own(tmp_path_factory):
    """Neither a user's signatures and hooks, nor the repository of a hook that starts the tests."""
    own = tmp_path_factory.mktemp("git") / "config"
    own.write_text("[safe]\n\tdirectory = *\n")  # whoever owns the checkout
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(variable)
        patch.setenv("GIT_CONFIG_GLOBAL", str(own))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture(autouse=True)
def _drawn_alike():
    """What a test draws does not depend on the tests before it, which differ from worker to worker."""
    torch.manual_seed(0)


@pytest.fixture
def checks_here(monkeypatch):
    """`sparsebench check` starts no process, so that it meets what a test puts in something's place."""

    def outlived(_module, order, _timeout, _tell):
        said = []
        check_cases(order, said.append)
        return [event for event in said if isinstance(event, Record)]

    monkeypatch.setattr(processes, "outlived", outlived)


@pytest.fixture(scope="session")
def kernels_folder(request, tmp_path_factory):
    """Where kernels are kept that the host compiled: in the cache of pytest, if it has one."""
    cache = getattr(request.config, "cache", None)
    return tmp_path_factory.mktemp("kernels") if cache is None else cache.mkdir("kernels")


@pytest.fixture(scope="session")
def random_batch():
    """Make a canonical batch of random sites and features."""

    def make(
        grid_size=(9, 8), *, density=0.3, channels=3, batch_size=2, seed=0, dtype=torch.float64
    ):
        generator = torch.Generator().manual_seed(seed)
        size = batch_size * math.prod(grid_size)
        keys = torch.randperm(size, generator=generator)[: round(density * size)].sort().values
        features = torch.randn((len(keys), channels), generator=generator, dtype=torch.float64)
        return SparseBatch(
            coordinates_of(keys, grid_size), features.to(dtype), batch_size, grid_size
        )

    return make
