"""A kernel that hangs while it is tried is known to the next processes, and nobody else is blamed."""

import errno
import fcntl
import json
import multiprocessing
import subprocess
import sys
import time

import pytest

from impls.cuda import trials
from impls.cuda.choices import HANGS, Choices
from impls.cuda.measured import Measured
from impls.cuda.trials import Trials
from tests.impls.cuda_pretended import FEW, RULE, WIDE, Pretended, PretendedTimer

FACTS = {"gpu": "pretended"}
KERNEL = "convolution, float32, tiles 128x128"
WHAT = "3 to 5 channels: tiles 128x128, 4 blocks each"
SPAWN = multiprocessing.get_context("spawn")
LONG = 600
TRY_FOR_EVER = f"""
import runpy, sys, time
from pathlib import Path
trials = runpy.run_path({trials.__file__!r})["Trials"](Path(sys.argv[1]), sys.argv[2])
with trials.of({KERNEL!r}, sys.argv[3]):
    print(flush=True)
    time.sleep({LONG})
"""


class Hanging(Pretended):
    """One shape tells where it is launched after some launches, and never returns."""

    def __init__(self, tell, launches):
        super().__init__()
        self.tell = tell
        self.launches = launches

    def run(self, shape):
        if shape == WIDE and self.ran.count(WIDE) == self.launches:
            self.tell.send("launched")
            time.sleep(LONG)
        return super().run(shape)


def tuner(folder):
    timer = PretendedTimer({RULE: 3000, WIDE: 2000, FEW: 2500})
    return Measured(lambda _: Choices(folder, FACTS), lambda _: timer)


def hang(folder, tell, launches):
    """Tune until a kernel hangs, at its first launch or after some."""
    chooser = tuner(folder)
    with chooser.measuring():
        chooser.choose(Hanging(tell, launches))


@pytest.fixture
def started(tmp_path):
    """Starts a process that tries the kernel for ever."""
    processes = []
    name = Choices(tmp_path, FACTS).path.stem

    def start(what=WHAT):
        command = [sys.executable, "-c", TRY_FOR_EVER, str(tmp_path), name, what]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"\n"
        return process

    yield start
    for process in processes:
        end(process)


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def tuned(folder):
    """What is chosen, and what was launched to find it."""
    launch, chooser = Pretended(), tuner(folder)
    with chooser.measuring():
        return chooser.choose(launch), launch.ran


def test_a_kernel_that_hangs_costs_two_processes_and_is_not_tried_by_the_third(tmp_path):
    for launches in (0, 1):  # while it is checked, and while it is timed
        ours, theirs = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=hang, args=(tmp_path, theirs, launches), daemon=True)
        process.start()
        ours.recv()
        process.kill()
        process.join()
    chosen, ran = tuned(tmp_path)
    assert chosen == FEW
    assert WIDE not in ran
    (_,) = tmp_path.iterdir()  # no mark is left
    choice = Choices(tmp_path, FACTS).find(str(Pretended().problem()))
    assert choice.rejected == {str(WIDE): f"not tried: {HANGS}"}


def test_a_kernel_whose_process_was_killed_once_is_tried_again_and_cleared_by_that(
    started, tmp_path
):
    for _ in range(2):
        end(started(f"{Pretended().problem()}: {WIDE}"))
        chosen, ran = tuned(tmp_path)
        assert chosen == WIDE
        assert WIDE in ran
        (path,) = tmp_path.iterdir()  # no mark is left
        path.unlink()  # measured anew, as another layer would be


def test_what_ends_well_for_one_problem_clears_no_other(started, tmp_path):
    end(started())
    tuned(tmp_path)
    assert Choices(tmp_path, FACTS).fatal(KERNEL) is None
    end(started("another layer"))
    assert Choices(tmp_path, FACTS).fatal(KERNEL) == HANGS


def test_a_kernel_that_a_living_process_tries_is_not_taken_for_a_dead_ones(started, tmp_path):
    end(started())
    started()
    choices = Choices(tmp_path, FACTS)
    assert choices.fatal(KERNEL) is None
    with choices.trial(KERNEL, WHAT):
        pass
    (path,) = tmp_path.iterdir()
    assert path.read_text() == f"{WHAT}\n{WHAT}\n"  # the mark is still the other's


def test_processes_that_are_killed_together_at_one_kernel_count_once(started, tmp_path):
    for process in [started(), started()]:
        end(process)
    marks = Trials(tmp_path, Choices(tmp_path, FACTS).path.stem)
    assert marks.deaths(KERNEL) == 1
    assert Choices(tmp_path, FACTS).fatal(KERNEL) is None


def test_only_the_kernel_that_was_tried_is_blamed_and_only_for_this_gpu(started, tmp_path):
    for _ in range(2):
        end(started())
    assert Choices(tmp_path, FACTS).fatal("convolution, float32, tiles 64x64") is None
    assert Choices(tmp_path, {"gpu": "another"}).fatal(KERNEL) is None
    assert Choices(tmp_path, FACTS).fatal(KERNEL) == HANGS
    assert json.loads(Choices(tmp_path, FACTS).path.read_text())["fatal"] == {KERNEL: HANGS}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_a_trial_that_raises_has_ended(tmp_path, error):
    marks = Trials(tmp_path, "pretended")
    for _ in range(3):
        with pytest.raises(error), marks.of(KERNEL, WHAT):
            raise error
    assert marks.deaths(KERNEL) == 0
    assert list(tmp_path.iterdir()) == []


def test_where_no_mark_can_be_left_kernels_are_tried_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with Trials(tmp_path / "file" / "folder", "pretended").of(KERNEL, WHAT):
        pass

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    marks = Trials(tmp_path, "pretended")
    for _ in range(3):
        with marks.of(KERNEL, WHAT):
            pass
    assert marks.deaths(KERNEL) == 0
