"""What is told of a GPU by NVIDIA's library, of which there is a stand-in here."""

import sys
from types import SimpleNamespace

import pytest
import torch

from bench import gpu
from bench.gpu import Look, conditions, gpu_facts, gpu_use, watched
from bench.measure import rates
from bench.results.schema import GpuConditions

GPU = torch.device("cuda")
IDLE, POWER, THERMAL = 0x1, 0x4, 0x20


class NVMLError(Exception):
    pass


@pytest.fixture
def library(monkeypatch):
    module = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetClockInfo=lambda _, kind: {1: 1755, 2: 2619}[kind],
        nvmlDeviceGetMaxClockInfo=lambda _, kind: {1: 1980, 2: 2619}[kind],
        nvmlDeviceGetApplicationsClock=lambda _, kind: {1: 1830, 2: 2619}[kind],
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 700_000,
        nvmlDeviceGetTemperature=lambda _, sensor: {0: 41}[sensor],
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: POWER,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1-2"))
    return module


@pytest.mark.usefixtures("library")
def test_driver_clocks_power_limit_and_temperature_are_recorded():
    assert gpu_facts(GPU) == {
        "gpu driver": "580.1",
        "gpu clocks": "1,755 MHz now, 1,980 MHz at most, 1,830 MHz set for applications, "
        "2,619 MHz of the memory",
        "gpu power limit": "700 W",
        "gpu before the run": "41 °C",
    }


def test_what_a_gpu_does_not_tell_is_left_out(library):
    def fails(*_):
        raise NVMLError

    library.nvmlDeviceGetEnforcedPowerLimit = fails
    library.nvmlDeviceGetApplicationsClock = fails
    del library.nvmlDeviceGetTemperature
    facts = gpu_facts(GPU)
    assert set(facts) == {"gpu driver", "gpu clocks"}
    assert "applications" not in facts["gpu clocks"]


def of_the_whole_gpu(library):
    """What CUDA before it knew instances by identities of their own is answered."""
    library.nvmlDeviceGetMigMode = lambda _: [1, 1]


def of_the_instance(library):
    """An instance has a handle of its own, of which next to nothing may be asked."""

    def handle(identity):
        if identity != "MIG-1-2":
            raise NVMLError
        return identity

    def refuses(*_):
        raise NVMLError

    for name in vars(library).copy():
        if name.startswith("nvmlDevice"):
            setattr(library, name, refuses)
    library.nvmlDeviceGetHandleByUUID = handle


@pytest.mark.parametrize("identity", [of_the_whole_gpu, of_the_instance])
def test_of_a_mig_instance_only_the_driver_is_told(library, identity):
    identity(library)
    assert gpu_facts(GPU) == {
        "gpu driver": "580.1",
        "gpu clocks": "not available of a MIG instance",
        "gpu power limit": "not available of a MIG instance",
        "gpu before the run": "not available of a MIG instance",
    }
    assert gpu.look_at(gpu.find_gpu(GPU)) == Look(None, None, None)
    with watched(GPU) as looks:
        pass
    assert conditions(looks) is None


def test_a_gpu_that_could_be_split_and_is_not_is_one_like_others(library):
    library.nvmlDeviceGetMigMode = lambda _: [0, 1]
    assert gpu_facts(GPU)["gpu power limit"] == "700 W"


def test_a_gpu_that_the_library_does_not_know_is_not_told_of(library):
    of_the_instance(library)
    library.nvmlDeviceGetHandleByUUID = library.nvmlDeviceGetTemperature
    assert gpu_facts(GPU) == {}


def test_without_the_library_or_on_a_cpu_there_is_nothing(library, monkeypatch):
    assert gpu_facts(torch.device("cpu")) == {}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_facts(GPU) == {}
    with watched(GPU) as looks:
        pass
    assert conditions(looks) is None


def test_a_gpu_is_looked_at_before_while_and_after_something_is_measured(library, monkeypatch):
    monkeypatch.setattr(gpu, "SECONDS", 0.001)
    heat = iter(range(40, 10**6))
    library.nvmlDeviceGetTemperature = lambda *_: next(heat)
    with watched(GPU) as looks:
        while len(looks) < 5:
            pass
    seen = conditions(looks)
    assert seen.looks == len(looks) >= 6
    assert seen.celsius == (40, 39 + len(looks))
    assert seen.slowed == {"the power limit": len(looks)}


def test_an_idle_gpu_tells_nothing_of_its_clock_at_work():
    looks = [
        Look(345, 30, IDLE),
        Look(1980, 50, 0),
        Look(1500, 60, POWER | THERMAL),
        Look(1400, 61, THERMAL),
        Look(345, 55, IDLE | POWER),
    ]
    assert conditions(looks) == GpuConditions(
        looks=3,
        megahertz=(1400, 1980),
        celsius=(30, 55),
        slowed={"the power limit": 1, "the driver's thermal limit": 2},
    )


def test_a_gpu_that_tells_nothing_has_no_clock_and_no_temperature():
    assert conditions([Look(None, None, None)]) == GpuConditions(0, None, None, {})


def test_a_gpus_rates_are_measured_between_events(monkeypatch):
    done = []

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self):
            done.append("record")

        def synchronize(self):
            done.append("synchronize")

        def elapsed_time(self, other):
            return 2.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda _: done.append("hold"))
    assert rates._seconds(lambda: done.append("call"), GPU) == 0.002
    assert done == ["hold", "record", "call", "record", "synchronize"]


def test_reasons_are_told_by_older_drivers_too_and_a_look_without_them_may_be_idle(library):
    found = gpu.find_gpu(GPU)
    assert gpu.look_at(found).reasons == POWER
    del library.nvmlDeviceGetCurrentClocksThrottleReasons
    assert gpu.look_at(found).reasons is None
    library.nvmlDeviceGetCurrentClocksEventReasons = lambda _: THERMAL
    assert gpu.look_at(found).reasons == THERMAL
    assert conditions([Look(345, 30, None), Look(1980, 50, 0)]).megahertz == (1980, 1980)


def test_what_others_use_of_a_gpu_is_told_where_it_tells(library):
    assert gpu_use(GPU) is None
    library.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=37, memory=2)
    assert gpu_use(GPU) == 0.37
    assert gpu_use(torch.device("cpu")) is None
