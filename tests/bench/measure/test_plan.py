"""Devices by name, with a stand-in for torch's CUDA; and what a worker does with them."""

import io
from dataclasses import replace

import msgspec
import pytest
import torch

from bench.errors import UserError
from bench.measure import worker
from bench.measure.messages import RateTask
from bench.measure.plan import _check_tf32, check_device
from tools.harms import plan


@pytest.fixture
def _two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize(
    ("name", "known_as"),
    [("cpu", "cpu"), ("cpu:0", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda"), ("cuda:1", "cuda:1")],
)
def test_a_device_has_one_name_whatever_it_was_given(name, known_as):
    assert str(check_device(name)) == known_as
    assert replace(plan(seconds=0.05, timeout=60.0, seed=0), device=name).device == known_as


@pytest.mark.usefixtures("_two_gpus")
def test_tf32_is_measured_on_a_gpu_and_refused_on_a_cpu():
    wanted = replace(plan(seconds=0.05, timeout=60.0, seed=0), device="cuda", dtypes=("tf32",))
    assert wanted.dtypes == ("tf32",)
    with pytest.raises(UserError, match="tf32 is what a GPU's tensor cores multiply; cpu has none"):
        replace(wanted, device="cpu")


@pytest.mark.usefixtures("_two_gpus")
def test_a_gpu_that_is_not_there_is_told_in_one_line():
    with pytest.raises(UserError, match=r"^device 'cuda:2' is not there; .* is cuda:1$"):
        check_device("cuda:2")


def test_there_is_one_cpu_however_many_processors_it_has():
    with pytest.raises(UserError, match=r"^device 'cpu:5' is not there; .* are cpu$"):
        check_device("cpu:5")


@pytest.mark.parametrize(("name", "made_current"), [("cuda:1", ["cuda:1"]), ("cuda", [])])
def test_a_worker_makes_a_numbered_gpu_the_current_one(monkeypatch, tmp_path, name, made_current):
    found = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: found.append(str(device)))
    monkeypatch.setattr(worker, "_redirect_output", lambda log: None)
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: False)
    monkeypatch.setattr(worker, "_asked", lambda order: ({}, {}))
    order = RateTask(
        dtypes=(), device=name, threads=1, implementations=(), pulse="", log=str(tmp_path / "log")
    )
    stream = io.BytesIO(msgspec.json.encode(order) + b"\n")
    stream.write = lambda told: None
    worker.serve(stream)
    assert found == made_current


def test_tf32_is_refused_where_float32_would_be_measured_under_its_name(monkeypatch):
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    with pytest.raises(UserError, match=r"compute capability 8\.0; cuda has 7\.5"):
        _check_tf32(device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    _check_tf32(device)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(UserError, match="NVIDIA_TF32_OVERRIDE"):
        _check_tf32(device)
