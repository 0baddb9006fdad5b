"""Plants a busy loop in one implementation and counts how often `sparsebench ab` finds it.

    python -m tools.planted [--percent 2,5,10] [--trials 3] [--idle] [-- ARGUMENTS OF AB]

In a clone of this checkout, as it was committed, every forward pass of gather's convolution is made so
many per cent longer, and committed. That revision is compared with the one before, while every other
processor is kept busy, unless --idle is given. What was not planted in is the control.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
PLANTED = "gather"
MODULE = Path("impls/gather/implementation.py")
CLASS = "GatherConvolution"
BUSY_LOOP = """

import time as _time

_inner = {name}.forward


def _longer(self, native):
    started = _time.perf_counter()
    result = _inner(self, native)
    end = _time.perf_counter() + {share} * (_time.perf_counter() - started)
    while _time.perf_counter() < end:
        pass
    return result


{name}.forward = _longer
"""
ARGUMENTS = ("--impl", "gather,dense", "--phase", "forward")
JUDGED = ("slower", "faster")
HEADING = "| planted | found | by how much | cells slower | control: families | cells | a trial |"


@dataclass
class Tally:
    """What came of all trials with one size of slowdown.

    Attributes:
        trials: comparisons made.
        found: those that called a family of the planted implementation slower.
        estimates: shared change of each of its families.
        cells: of the planted implementation, by verdict.
        others: of all others, by verdict.
        other_families: likewise.
        seconds: all that these trials took.
    """

    trials: int = 0
    found: int = 0
    estimates: list[float] = field(default_factory=list)
    cells: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    other_families: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, changes: dict[str, Any], seconds: float) -> None:
        """Count what `ab --json` told of one trial."""
        self.trials += 1
        self.seconds += seconds
        is_found = False
        for family in changes["families"]:
            if family["shared"] is None:
                continue
            if family["implementation"] == PLANTED:
                self.estimates.append(family["shared"]["interval"]["estimate"] - 1)
                is_found = is_found or family["verdict"] == "slower"
            else:
                self.other_families[family["verdict"]] += 1
        self.found += is_found
        for cell in changes["cells"]:
            if cell["ratio"] is not None:
                mine = cell["implementation"] == PLANTED
                (self.cells if mine else self.others)[cell["verdict"]] += 1

    def row(self, percent: float) -> str:
        """One line of the table."""
        told = f"{min(self.estimates):.1%} to {max(self.estimates):.1%}" if self.estimates else "-"
        false = [
            f"{sum(counts[each] for each in JUDGED)} of {counts.total()}"
            for counts in (self.other_families, self.others)
        ]
        return (
            f"| {percent:g} % | {self.found} of {self.trials} | {told} | "
            f"{self.cells['slower']} of {self.cells.total()} | {' | '.join(false)} | "
            f"{self.seconds / self.trials:.0f} s |"
        )


def plant(project: Path, percent: float) -> str:
    """Commit a busy loop on top of a clone's first state; return the commit.

    Args:
        project: a clone of this project.
        percent: of each forward pass's time.
    """
    module = project / MODULE
    text = module.read_text()
    if f"class {CLASS}" not in text:
        raise SystemExit(f"{MODULE} has no class {CLASS} any more: tools/planted.py is out of date")
    module.write_text(text + BUSY_LOOP.format(name=CLASS, share=percent / 100))
    _git(project, "commit", "-q", "-a", "-m", f"{percent:g} % longer")
    commit = _git(project, "rev-parse", "HEAD")
    _git(project, "reset", "-q", "--hard", "HEAD~")
    return commit


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processors busy."""
    loop_command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop_command) for _ in range(processes)]  # noqa: S603
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def compare(project: Path, head: str, seed: int, arguments: Sequence[str]) -> dict[str, Any]:
    """Run `ab` on the clone's state and a commit of it.

    Raises:
        SystemExit: with what it said, where it does not compare.
    """
    command = [sys.executable, "-m", "bench", "ab", "HEAD", head, "--json", "--seed", str(seed)]
    done = subprocess.run(  # noqa: S603
        [*command, *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 2 or not done.stdout:
        raise SystemExit(done.stderr.strip() or f"ab ended with {done.returncode}")
    changes: dict[str, Any] = json.loads(done.stdout)
    return changes


def _git(project: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=planted", "-c", "user.email=planted@localhost")
    command = ["git", "-C", str(project), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """Print a table of what was found, a row for each size; 1 if a control was told apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--percent", default="2,5,10", help="comma separated (%(default)s)")
    parser.add_argument("--trials", type=int, default=3, help="of each (%(default)s)")
    parser.add_argument("--idle", action="store_true", help="leave the other processors alone")
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    own = list(arguments)
    others: Sequence[str] = ARGUMENTS
    if "--" in own:
        own, others = own[: own.index("--")], own[own.index("--") + 1 :]
    parsed = parser.parse_args(own)
    sizes = [float(each) for each in parsed.percent.split(",")]
    tallies = {size: Tally() for size in sizes}
    with tempfile.TemporaryDirectory(prefix="sparsebench-planted-") as folder:
        project = Path(folder) / "project"
        _git(PROJECT, "clone", "-q", "--shared", ".", str(project))
        commits = {size: plant(project, size) for size in sizes}
        with busy(0 if parsed.idle else (os.cpu_count() or 1) - 1):
            for trial in range(parsed.trials):
                for size in sizes:
                    began = time.monotonic()
                    changes = compare(project, commits[size], parsed.seed + trial, others)
                    tallies[size].add(changes, time.monotonic() - began)
                    print(tallies[size].row(size), file=sys.stderr, flush=True)  # noqa: T201
    lines = [HEADING, "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [tallies[size].row(size) for size in sizes]
    print("\n".join(lines))  # noqa: T201
    false = sum(
        counts[each]
        for tally in tallies.values()
        for counts in (tally.others, tally.other_families)
        for each in JUDGED
    )
    return int(bool(false))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
