"""How long a sweep takes on so many devices: measured costs of its units, and a simulated schedule.

    python -m tools.capacity RUN... [--cells 1000000] [--devices 1 8 64 512]

A unit is one workload with all its implementations; the run files say how long each took. Larger
matrices are made by drawing from those with replacement. Units are handed out as a Dask scheduler
does: whoever is free takes the next one, which nobody knows the length of.
"""

import argparse
import heapq
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cli.output import print_table
from bench.errors import UserError
from bench.results.store import load

HOUR = 3600.0
DEVICES = (1, 8, 64, 512)
STRAGGLER = 3.0
"""How much slower the slowest device is in the pessimistic column."""
LOSS_HOURS = 24.0
"""Mean time after which a device is lost, and back after a restart, in the pessimistic column."""
RESTART_SECONDS = 60.0
OVERHEAD_SECONDS = 5.0
"""Of a unit that is a command of its own: start-up, and the machine's rates."""


@dataclass(frozen=True)
class Schedule:
    """What a simulated sweep took.

    Attributes:
        hours: until the last unit ended.
        busy: share of the devices' time in which they measured what counted.
        repeated: units that were lost with a device and ran again.
    """

    hours: float
    busy: float
    repeated: int


def simulate(
    seconds: Sequence[float],
    devices: int,
    *,
    straggler: float = 1.0,
    loss_hours: float = float("inf"),
    seed: int = 0,
) -> Schedule:
    """Hand units out one after the other to whoever is free first.

    Args:
        seconds: of every unit, in the order of the plan.
        devices: how many there are.
        straggler: how much slower the first of them is.
        loss_hours: mean time between losses of a device; its unit goes to the end of the line.
        seed: of the losses.
    """
    chance = random.Random(seed)  # noqa: S311
    free = [(0.0, device) for device in range(devices)]
    line = list(reversed(seconds))
    last = useful = 0.0
    repeated = 0
    while line:
        now, device = heapq.heappop(free)
        unit = line.pop()
        taken = unit * (straggler if device == 0 else 1.0)
        lost = (
            chance.expovariate(1 / (loss_hours * HOUR)) if loss_hours < float("inf") else taken + 1
        )
        if lost < taken:
            repeated += 1
            line.insert(0, unit)
            heapq.heappush(free, (now + lost + RESTART_SECONDS, device))
            continue
        useful += unit
        last = max(last, now + taken)
        heapq.heappush(free, (now + taken, device))
    return Schedule(last / HOUR, useful / (last * devices) if last else 0.0, repeated)


def costs(paths: Sequence[Path]) -> tuple[list[float], float]:
    """Seconds of every measured unit as a command of its own, and the mean number of its cells.

    Raises:
        UserError: if no unit says how long it took.
    """
    units = [unit for path in paths for unit in load(path).units if unit.seconds.get("wall")]
    if not units:
        raise UserError("none of these runs says how long its workloads took")
    seconds = [unit.seconds["wall"] + OVERHEAD_SECONDS for unit in units]
    return seconds, statistics.fmean(len(unit.cells) for unit in units)


def main(arguments: Sequence[str]) -> int:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--cells", type=int, help="of the matrix (default: that of the runs)")
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    parsed = parser.parse_args(arguments)
    try:
        seconds, cells_of_unit = costs(parsed.runs)
    except UserError as error:
        print(f"capacity: error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if parsed.cells is not None:
        count = max(1, round(parsed.cells / cells_of_unit))
        seconds = random.Random(0).choices(seconds, k=count)  # noqa: S311
    rows = []
    for devices in parsed.devices:
        plain = simulate(seconds, devices)
        hard = simulate(seconds, devices, straggler=STRAGGLER, loss_hours=LOSS_HOURS)
        rows.append(
            {
                "devices": str(devices),
                "hours": f"{plain.hours:.2f}",
                "busy": f"{plain.busy:.0%}",
                f"hours, one {STRAGGLER:g} times slower and each lost once in {LOSS_HOURS:g} h": (
                    f"{hard.hours:.2f}"
                ),
                "units run again": str(hard.repeated),
            }
        )
    total = sum(seconds) / HOUR
    print_table(
        f"{len(seconds):,} units, {round(len(seconds) * cells_of_unit):,} cells, "
        f"{total:,.1f} device-hours",
        rows,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
