"""Measures sound implementations beside harmful ones, and asks whether it makes a difference to them.

    python -m tools.harms [PATTERN...] [--beside 9] [--seconds 0.3] [--timeout 30] [--seed 0]

The plug-ins of tools/harmful.py crash, hang, leak, or change what belongs to the whole process, some
at a time beside `gather` and `dense`. Without them and with them, every cell of those two must be `ok`,
and the 99 % intervals of the ratio between the two must overlap.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from bench.measure.engine import execute
from bench.measure.plan import Plan
from bench.phases import Phase
from bench.plugins.implementations import choose, references_in
from bench.plugins.installed import Reference
from bench.plugins.suites import load_suite
from bench.results.schema import Run, Settings, Status
from bench.statistics.intervals import Interval, ratio

PLUGINS = Path(__file__).with_name("harmful.py")
SOUND = ("dense", "gather")
WORKLOAD = "2d-submanifold-k3-c32-grid96-uniform-5%"
PHASES = (Phase.FORWARD, Phase.BACKWARD)
PRECISION = 0.005
PROCESSES = 3
MOST_MEMORY_BYTES = 4 * 2**30
"""That a worker may take, so that one which leaks does not need the whole machine for it."""


def harmful(patterns: Sequence[str]) -> list[Reference]:
    """The harmful plug-ins whose name matches."""
    found = references_in(PLUGINS)
    return [
        each
        for each in found
        if each.name != "harmful" and any(fnmatch(each.name, pattern) for pattern in patterns)
    ]


def plan(seconds: float, timeout: float, seed: int) -> Plan:
    """A plan of the sound ones alone."""
    suite = load_suite("quick")
    return Plan(
        suite=suite,
        workloads=(suite.find(WORKLOAD),),
        implementations=tuple(choose(list(SOUND))[0]),
        broken=(),
        dtypes=("float32",),
        device="cpu",
        settings=Settings(seconds, PRECISION, PROCESSES, 1, seed, timeout, PHASES),
    )


def intervals(run: Run) -> dict[Phase, Interval]:
    """Ratios of the two sound ones by phase, where both have times."""
    timings = {(cell.implementation, cell.phase): cell.timing for cell in run.cells}
    found = {}
    for phase in PHASES:
        first, second = (timings[name, phase] for name in SOUND)
        compared = ratio(first, second) if first and second else None
        if compared is not None:
            found[phase] = compared.interval
    return found


def disturbed(alone: Run, beside: Run) -> list[str]:
    """What differs for the sound ones, in words."""
    words = [
        f"{cell.implementation} {cell.phase}: {cell.status}, {cell.reason}"
        for cell in beside.cells
        if cell.implementation in SOUND and cell.status is not Status.OK
    ]
    before, after = intervals(alone), intervals(beside)
    for phase in (each for each in PHASES if each in before and each in after):
        one, other = before[phase], after[phase]
        if one.low > other.high or other.low > one.high:
            words.append(
                f"{phase}: {one.low:.3f}-{one.high:.3f} alone, {other.low:.3f}-{other.high:.3f} beside"
            )
    return words


def main(arguments: Sequence[str]) -> int:
    """Print what became of everybody; 1 if a sound one was disturbed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="PATTERN")
    parser.add_argument("--beside", type=int, default=9, help="harmful ones in one run")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a phase in a process")
    parser.add_argument("--timeout", type=float, default=30.0, help="without a sign of life")
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    sick = harmful(parsed.patterns)
    faults = 0
    for start in range(0, len(sick), parsed.beside):
        batch = sick[start : start + parsed.beside]
        alone_plan = plan(parsed.seconds, parsed.timeout, parsed.seed + start)
        alone = execute(alone_plan)
        order = (*batch[::2], *alone_plan.implementations, *batch[1::2])
        beside = execute(replace(alone_plan, implementations=order))
        for reference in batch:
            cells = [cell for cell in beside.cells if cell.implementation == reference.name]
            told = "; ".join(
                dict.fromkeys(f"{cell.status} {cell.reason}".strip() for cell in cells)
            )
            print(f"{reference.name}: {told}", flush=True)  # noqa: T201
        for words in disturbed(alone, beside):
            faults += 1
            print(f"DISTURBED: {words}", flush=True)  # noqa: T201
    print(f"{len(sick)} harmful plug-ins, {faults} faults", flush=True)  # noqa: T201
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
