"""Kills a run at random moments, goes on with it, and counts what was lost.

    python -m tools.kills [--kills 200] [--seed 0] [--workload PATTERNS] [--seconds 0.02]

One run is measured undisturbed. Then the same command is killed (SIGKILL) and resumed until it is
complete, and begun anew, until there were so many kills: every other one at any moment of the run, the
others within milliseconds after a file beside it changed, where writing may be cut in two. After
every kill the journal must be readable and hold what it held before; a complete run must hold the cells
of the undisturbed one.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import DataError
from bench.results.schema import Run
from bench.results.store import Journal, load

POLL_SECONDS = 0.002
AFTER_A_CHANGE_SECONDS = 0.01
"""A kill that waits for a change comes so long after it at most."""
PATTERN = "2d-submanifold*"

Cells = set[tuple[str, ...]]


@dataclass
class Tally:
    """What came of it.

    Attributes:
        kills: processes killed.
        sweeps: runs that were completed, by however many processes.
        finished_before: resumptions that found the run complete.
        faults: what must not be, in words.
    """

    kills: int = 0
    sweeps: int = 0
    finished_before: int = 0
    faults: list[str] = field(default_factory=list)


def cells_of(run: Run) -> Cells:
    """What a run holds: every cell's key and status."""
    return {(*map(str, cell.key), str(cell.status)) for cell in run.cells}


def kill_again_and_again(command: Sequence[str], folder: Path, kills: int, seed: int) -> Tally:
    """Do as the module says with a command that measures."""
    undisturbed = Journal(folder / "undisturbed.json")
    began = time.monotonic()
    subprocess.run([*command, "-o", str(undisturbed.target)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    whole, seconds = load(undisturbed.target), time.monotonic() - began
    chance = random.Random(seed)  # noqa: S311
    tally = Tally()
    journal = Journal(folder / "run-0.json")
    kept: list[str] = []
    while tally.kills < kills:
        arguments = ["--resume", str(journal.path)] if journal.path.exists() else []
        told = _start_and_kill(
            [*command, *(arguments or ["-o", str(journal.target)])], journal.path, chance, seconds
        )
        if told is None:
            tally.kills += 1
        elif not journal.target.exists():
            tally.faults.append(f"a run ended without a file: {told[-300:]}")
        tally.finished_before += bool(told and "is complete" in told)
        kept = _examine(journal, kept, cells_of(whole), tally)
        if journal.target.exists() and not journal.path.exists():
            tally.sweeps += 1
            journal, kept = Journal(folder / f"run-{tally.sweeps}.json"), []
    return tally


def _start_and_kill(
    command: Sequence[str], watched: Path, chance: random.Random, seconds: float
) -> str | None:
    """Run a command and kill it; return what it said if it ended before."""
    with subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            if chance.random() < 0.5:
                _wait(process, chance.random() * seconds)
            else:
                _wait_for_changes(process, watched, chance.randrange(1, 4))
                _wait(process, chance.random() * AFTER_A_CHANGE_SECONDS)
            if process.poll() is not None:
                return process.communicate()[1]
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return None


def _wait(process: "subprocess.Popen[str]", seconds: float) -> None:
    """Wait so long, or until the process has ended."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)


def _wait_for_changes(process: "subprocess.Popen[str]", path: Path, changes: int) -> None:
    """Wait until a file, or its folder, has changed so often, or the process has ended."""
    before = _look(path)
    while changes and process.poll() is None:
        now = _look(path)
        changes -= now != before
        before = now
        time.sleep(POLL_SECONDS)


def _look(path: Path) -> tuple[int, int]:
    """The file's size, -1 without one (it may go at any moment), and when its folder changed."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = -1
    return size, path.parent.stat().st_mtime_ns


def _examine(journal: Journal, kept: list[str], expected: Cells, tally: Tally) -> list[str]:
    """Hold what lies there against what lay there before; return the workloads that are kept now."""
    try:
        if journal.target.exists():
            run = load(journal.target)
            if cells_of(run) != expected:
                tally.faults.append(f"{journal.target} does not hold the cells of the whole run")
        elif journal.path.exists():
            run = journal.read()
        else:
            if kept:
                tally.faults.append(f"{journal.path} is gone")
            return []
    except DataError as error:
        tally.faults.append(str(error))
        return kept
    now = [unit.workload.name for unit in run.units]
    if now[: len(kept)] != kept:
        tally.faults.append(f"{journal.path} held {kept}, then {now}")
    return now


def main(arguments: Sequence[str]) -> int:
    """Print the figures; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workload", default=PATTERN, help="of the suite quick")
    parser.add_argument("--seconds", default="0.02", help="of a phase")
    parsed = parser.parse_args(arguments)
    command = [sys.executable, "-m", "bench", "run", "quick", "--impl", "gather", "--wait"]
    command += ["--phase", "map,forward", "--processes", "1", "--workload", parsed.workload]
    command += ["--seconds", parsed.seconds]
    with tempfile.TemporaryDirectory(prefix="sparsebench-kills-") as folder:
        tally = kill_again_and_again(command, Path(folder), parsed.kills, parsed.seed)
        left = len(list(Path(folder).glob(".*.tmp")))
    for fault in tally.faults:
        print(f"FAULT: {fault}")  # noqa: T201
    print(  # noqa: T201
        f"{tally.kills} kills, {tally.sweeps} runs completed ({tally.finished_before} were found "
        f"complete when resumed), {left} temporary files left behind, {len(tally.faults)} faults"
    )
    return int(bool(tally.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
