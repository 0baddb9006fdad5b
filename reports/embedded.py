"""What the page's script works on: ratios between all implementations, and the rounds of every cell.

Numbers are cut to what can be seen. A round is one character: its place between the cell's shortest
and longest round, on a logarithmic axis of `LEVELS` steps.
"""

import math
import string
from typing import Any

from bench.results.schema import Run, Timing
from bench.statistics import round_medians
from reports import words
from reports.pairs import LETTERS, Pair, pairs
from reports.speed import Comparison, Row

LEVELS = string.ascii_letters + string.digits + "-_"
MOST_ROUNDS = 200_000
"""So many are embedded at most: of larger runs every second, third ... round of a process."""


def embedded(run: Run, comparison: Comparison, arguments: dict[str, str]) -> dict[str, Any]:
    """Return what the script needs, as plain data.

    `tables` are in the order of the comparison; the rows of a phase in the order of the page. A row
    is `[implementation]` where it has no time, else also its seconds, shortest and longest round, the
    rounds by process, and those disturbed if any. A pair is `[first, second, ratio, half-width,
    verdicts]`, the half-width a logarithm, null where it is unknown.
    """
    numbers = {name: place for place, name in enumerate(comparison.implementations)}
    found = pairs(comparison)
    step = 1 + _rounds(run) // MOST_ROUNDS
    return {
        "implementations": [
            words.label(name, words.LONGEST_TITLE) for name in comparison.implementations
        ],
        "arguments": [arguments[name] for name in comparison.implementations],
        "step": step,
        "tables": [
            {
                str(phase): {
                    "rows": [_row(row, numbers, step) for row in rows],
                    "pairs": [_pair(pair) for pair in found[number, phase]],
                }
                for phase, rows in table.by_phase
            }
            for number, table in enumerate(comparison.tables)
        ],
    }


def _rounds(run: Run) -> int:
    return sum(
        len(samples.rounds)
        for cell in run.cells
        if cell.timing is not None
        for samples in cell.timing.processes
    )


def _row(row: Row, numbers: dict[str, int], step: int) -> list[Any]:
    number = numbers[row.cell.implementation]
    if row.cell.timing is None or row.seconds is None:
        return [number]
    return [number, _rounded(row.seconds.estimate), *_samples(row.cell.timing, step)]


def _samples(timing: Timing, step: int) -> list[Any]:
    """Shortest and longest round in seconds, characters by process, disturbed rounds by process."""
    medians = [[float(value) for value in values[::step]] for values in round_medians(timing)]
    low = min(map(min, medians))
    high = max(map(max, medians))
    scale = (len(LEVELS) - 1) / math.log(high / low) if high > low else 0.0
    drawn = " ".join(
        "".join(LEVELS[round(scale * math.log(value / low))] for value in values)
        for values in medians
    )
    disturbed = [
        [place // step for place in samples.disturbed if place % step == 0]
        for samples in timing.processes
    ]
    found = [_rounded(low, 4), _rounded(high, 4), drawn]
    return [*found, disturbed] if any(disturbed) else found


def _pair(pair: Pair) -> list[Any]:
    interval = pair.ratio.interval
    half_width = (
        _rounded(math.log(interval.high / interval.low) / 2, 2) if interval.is_known else None
    )
    letters = "".join(LETTERS[each] for each in pair.verdicts)
    return [pair.first, pair.second, _rounded(interval.estimate), half_width, letters]


def _rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")
