"""What a machine is called, by which runs are told apart."""

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
    assert name_with(INTEL).startswith("Some CPU @ 2 GHz, ")


def test_arm_processors_of_other_parts_are_other_machines(name_with):
    first, second = name_with(ARM.format("0xd0c")), name_with(ARM.format("0xd40"))
    assert first != second
    assert "cpu implementer 0x41, cpu part 0xd0c, cpu variant 0x3" in first
