import signal
import subprocess
import sys

import pytest

from bench.measure.pulse import NOBODY, Pulse


@pytest.fixture
def pulse(tmp_path):
    created = Pulse.create(tmp_path / "pulse")
    yield created
    created.close()


def test_a_new_pulse_has_not_beaten_and_nobody_is_at_work(pulse):
    assert pulse.read() == (0, NOBODY, NOBODY)


def test_every_beat_counts_and_says_who_is_at_work(pulse):
    pulse.beat(3, 2)
    assert pulse.read() == (1, 3, 2)
    pulse.beat(3, 2)
    pulse.beat(0, NOBODY)
    assert pulse.read() == (3, 0, NOBODY)


def test_whoever_maps_the_same_file_sees_the_beats(pulse, tmp_path):
    other = Pulse(tmp_path / "pulse")
    other.beat(5, 1)
    assert pulse.read() == (1, 5, 1)
    other.close()


def test_a_process_that_is_killed_leaves_its_last_beat(pulse, tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from bench.measure.pulse import Pulse\n"
        "pulse = Pulse(Path(sys.argv[1]))\n"
        "pulse.beat(1, 4)\n"
        "pulse.beat(2, 6)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "pulse"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert pulse.read() == (2, 2, 6)


def test_creating_a_pulse_forgets_an_earlier_one_at_the_same_place(tmp_path):
    first = Pulse.create(tmp_path / "pulse")
    first.beat(1, 1)
    first.close()
    second = Pulse.create(tmp_path / "pulse")
    assert second.read() == (0, NOBODY, NOBODY)
    second.close()
