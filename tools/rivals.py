"""`python -m tools.rivals RUN...`: one implementation against the fastest of others.

Prints a line for each phase: the geometric mean of how many times as fast it is, the three closest
workloads with their 99 % intervals, in how many it is not slower, and of how many that is not certain.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

from bench.phases import Phase
from bench.results.schema import Run
from bench.results.store import load
from bench.statistics.intervals import Interval
from reports.joining import join
from reports.speed import compare

CLOSEST = 3


@dataclass(frozen=True)
class Margin:
    """How many times as fast an implementation is as the fastest of its rivals, on one workload."""

    workload: str
    rival: str
    times: Interval


def margins(run: Run, name: str, rivals: Sequence[str]) -> dict[Phase, list[Margin]]:
    """Paired ratios of the fastest rival's times to its own, the smallest first, by phase."""
    comparison = compare(run, name)
    found: dict[Phase, list[Margin]] = {}
    for table in comparison.tables:
        for phase in comparison.headline:
            known = [
                Margin(table.workload.name, rival, row.ratio.interval)
                for rival in rivals
                if (row := table.find(rival, phase)) is not None and row.ratio is not None
            ]
            if known:
                found.setdefault(phase, []).append(min(known, key=_estimate))
    return {phase: sorted(own, key=_estimate) for phase, own in found.items()}


def _estimate(margin: Margin) -> float:
    return margin.times.estimate


def _line(phase: Phase, own: list[Margin]) -> str:
    closest = ", ".join(
        f"{each.workload} {each.times.estimate:.2f} ({each.times.low:.2f} to {each.times.high:.2f})"
        for each in own[:CLOSEST]
    )
    ahead = sum(each.times.estimate >= 1 for each in own)
    single = sum(not each.times.is_known for each in own)
    unsure = sum(each.times.is_known and each.times.low < 1 <= each.times.high for each in own)
    return (
        f"{phase}: {geometric_mean(map(_estimate, own)):.2f} times as fast in the mean of {len(own)}; "
        f"not slower in {ahead}; single rounds: {single}; interval reaches below 1: {unsure}; "
        f"closest: {closest}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the lines."""
    parser = argparse.ArgumentParser(prog="python -m tools.rivals", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--of", default="gather", metavar="NAME")
    parser.add_argument("--rivals", default="minkowski,spconv", metavar="NAMES")
    parser.add_argument("--workload", default="", help="only those whose names hold these words")
    given = parser.parse_args(arguments)
    found = margins(join([load(path) for path in given.runs]), given.of, given.rivals.split(","))
    for phase, own in found.items():
        chosen = [each for each in own if given.workload in each.workload]
        if chosen:
            print(_line(phase, chosen))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
