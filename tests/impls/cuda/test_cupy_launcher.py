"""What launches the kernels on a GPU, with stand-ins for CuPy and for torch's CUDA."""

import importlib
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch

from impls.cuda import Cuda, structures
from impls.cuda.launching import MARK_SITES


@pytest.fixture
def done(monkeypatch):
    """What was called, in order, with the number of the thread that called."""
    calls = []

    def note(what):
        return lambda *arguments: calls.append((what, arguments[0], threading.get_ident()))

    cupy, cuda = ModuleType("cupy"), ModuleType("cupy.cuda")
    cuda.runtime = SimpleNamespace(setDevice=note("set device"))
    cuda.driver = SimpleNamespace(launchKernel=note("launch"))
    cupy.cuda = cuda
    cupy.RawModule = lambda **_: SimpleNamespace(get_function=lambda name: Function(calls))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", cuda)
    monkeypatch.delitem(sys.modules, "impls.cuda.cupy_launcher", raising=False)
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    yield calls
    sys.modules.pop("impls.cuda.cupy_launcher", None)


class Function:
    """A kernel of CuPy's, which notes how much shared memory it may be given."""

    def __init__(self, calls):
        object.__setattr__(self, "kernel", SimpleNamespace(ptr=7))
        object.__setattr__(self, "calls", calls)

    def __setattr__(self, name, value):
        self.calls.append((name, value, threading.get_ident()))


def launch(number, kernel=MARK_SITES):
    launcher = importlib.import_module("impls.cuda.cupy_launcher").CUPY_LAUNCHER
    device = torch.device("cuda", number)
    launcher.launch(kernel, (1, 1, 1), structures.Grid(), device)


def test_a_gpus_context_is_made_current_before_its_first_launch_and_no_other(done):
    for number in (0, 0, 1, 0):
        launch(number)
    assert [(what, of) for what, of, _ in done] == [
        ("set device", 0),
        ("launch", 7),
        ("launch", 7),
        ("set device", 1),
        ("launch", 7),
        ("launch", 7),
    ]


def test_every_thread_makes_it_current_for_itself_as_autograds_does(done):
    launch(0)
    thread = threading.Thread(target=launch, args=(0,))
    thread.start()
    thread.join()
    here, there = done[:2], done[2:]
    for calls in (here, there):
        assert [what for what, _, _ in calls] == ["set device", "launch"]
        assert len({number for _, _, number in calls}) == 1
    assert here[0][2] != there[0][2]


def test_compiling_makes_the_context_current_and_launches_nothing(done):
    launcher = importlib.import_module("impls.cuda.cupy_launcher").CUPY_LAUNCHER
    launcher.compile(MARK_SITES, torch.device("cuda", 1))
    assert [(what, of) for what, of, _ in done] == [("set device", 1)]
    launch(1)
    assert [(what, of) for what, of, _ in done[1:]] == [("launch", 7)]


def test_a_kernel_may_be_given_the_shared_memory_that_it_asks_for_before_it_is_launched(done):
    launch(0, replace(MARK_SITES, shared_bytes=96 * 1024))
    launch(0, replace(MARK_SITES, shared_bytes=96 * 1024))
    assert [(what, of) for what, of, _ in done] == [
        ("set device", 0),
        ("max_dynamic_shared_size_bytes", 96 * 1024),
        ("launch", 7),
        ("launch", 7),
    ]


def test_preparing_imports_cupy_and_opens_nothing(done):
    Cuda().prepare()
    assert "impls.cuda.cupy_launcher" in sys.modules
    assert done == []


def test_how_much_shared_memory_a_block_can_be_given_is_asked_of_the_gpu_once(done):
    asked = []
    runtime = sys.modules["cupy"].cuda.runtime
    runtime.deviceGetAttribute = lambda *which: asked.append(which) or 101_376
    launcher = importlib.import_module("impls.cuda.cupy_launcher").CUPY_LAUNCHER
    device = torch.device("cuda", 1)
    assert launcher.shared_bytes(device) == launcher.shared_bytes(device) == 101_376
    assert asked == [(97, 1)]
