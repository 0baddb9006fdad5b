"""What a machine is called, by which runs are told apart."""

from random import Random

import pytest
import torch

from bench import machine

INTEL = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Another\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: {}\n"


@pytest.fixture
def name_with(tmp_path, monkeypatch):
    """The machine's name, where the kernel tells this of its processor."""

    def name(told):
        monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
        machine.CPU_INFO.write_text(told)
        return machine.describe_machine(torch.device("cpu"), 1).name

    return name


def test_a_machine_is_called_by_its_processors_model(name_with):
    name = name_with(INTEL)
    assert name.startswith("Some CPU @ 2 GHz, ")
    assert name.endswith(", 1 thread")


def test_arm_processors_of_other_parts_are_other_machines(name_with):
    first, second = name_with(ARM.format("0xd0c")), name_with(ARM.format("0xd40"))
    assert first != second
    assert "cpu implementer 0x41, cpu part 0xd0c, cpu variant 0x3" in first


def test_the_processors_that_others_use_least_are_chosen_of_those_that_are_allowed(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 3, 4}, raising=False)
    monkeypatch.setattr(
        machine.psutil, "cpu_percent", lambda **_: [99.0, 12.0, 0.0, 8.0, 100.0, 0.0]
    )
    chances = [Random(seed) for seed in range(20)]  # noqa: S311
    chosen = {machine.idle_processors(1, chance) for chance in chances}
    assert chosen == {(1,), (3,)}  # used alike
    assert machine.idle_processors(2, chances[0]) == (1, 3)
    assert machine.idle_processors(4, chances[0]) == ()
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    assert machine.idle_processors(1, chances[0]) == ()


@pytest.mark.parametrize(("use", "is_told"), [(None, False), (0.01, False), (0.37, True)])
def test_a_gpu_that_others_use_is_a_doubt(use, is_told, monkeypatch):
    monkeypatch.setattr(machine, "gpu_use", lambda _: use)
    found = machine.describe_machine(torch.device("cpu"), 1).doubts
    assert ("other programs used the GPU 37 % of the time when the run started" in found) == is_told
