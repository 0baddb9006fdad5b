import math
import sys
from types import SimpleNamespace

import pytest
import torch
from trainable import corners, nothing, training

from bench.training import energy

GPU = torch.device("cuda")


class NVMLError(Exception):
    pass


@pytest.fixture
def library(monkeypatch):
    """A stand-in for NVIDIA's library: a GPU takes half a joule between two looks."""
    counted = iter(range(1000, 10**6, 500))
    module = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda _: next(counted),
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1-2"))
    return module


def fails(*_):
    raise NVMLError


def test_a_gpu_is_found_by_its_identity_and_read_in_joules(library):
    asked = []
    library.nvmlDeviceGetHandleByUUID = asked.append
    read = energy.energy_meter(GPU)
    assert asked == ["GPU-1-2"]
    assert (read(), read()) == (1.0, 1.5)


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetTotalEnergyConsumption"])
def test_a_gpu_that_does_not_count_gives_nothing(library, function):
    setattr(library, function, fails)
    assert math.isnan(energy.energy_meter(GPU)())


def test_without_the_library_there_is_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert math.isnan(energy.energy_meter(GPU)())


def test_a_processor_is_never_asked_for(library):
    assert math.isnan(energy.energy_meter(torch.device("cpu"))())
    trained = training(corners(), epochs=1)
    trained.run(nothing, nothing)
    assert trained.progress.epochs[0].joules is None


def test_an_epoch_holds_the_joules_of_its_steps(library):
    trained = training(corners(), epochs=1)
    trained._joules = energy.energy_meter(GPU)
    trained.run(nothing, nothing)
    assert trained.progress.epochs[0].joules == 0.5 * trained.steps


def test_an_epoch_of_which_some_steps_were_not_counted_has_no_sum(library):
    trained = training(corners(), epochs=2)
    trained._joules = energy.energy_meter(GPU)
    count = library.nvmlDeviceGetTotalEnergyConsumption

    def stop(report):
        gone = report.done == 2
        library.nvmlDeviceGetTotalEnergyConsumption = fails if gone else count

    trained.run(stop, nothing)
    assert [epoch.joules for epoch in trained.progress.epochs] == [None, 0.5 * trained.steps]
