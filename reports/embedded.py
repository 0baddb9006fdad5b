"""What the page's script works on: ratios between all implementations, and the rounds of every cell.

Numbers are cut to what can be seen. A round is one character: its place between the cell's shortest
and longest round, on a logarithmic axis of `LEVELS` steps.
"""

import math
import string
from typing import Any

from bench.results.schema import Run, Timing
from bench.statistics.intervals import seconds_of_rounds
from reports import words
from reports.pairs import LETTERS, Pair, pairs
from reports.speed import Comparison, Row

LEVELS = string.ascii_letters + string.digits + "-_"
MOST_ROUNDS = 200_000
"""So many are embedded at most: of larger runs every second, third ... round of a process."""


def embedded(run: Run, comparison: Comparison, arguments: dict[str, str]) -> dict[str, Any]:
    """Return what the script needs, as plain data.

    `tables` are in the order of the comparison; the rows of a phase in the order of the page. A row
    is `[implementation]` where it has no time, else also its seconds, how far below them the shortest
    round lies and how far above that the longest (logarithms), the rounds by process, and those
    disturbed if any. A pair is `[first, second, ratio, half-width, verdicts]`, the half-width a
    logarithm, null where it is unknown.
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


def packed(data: dict[str, Any]) -> dict[str, Any]:
    """Return the same with rows and pairs column by column, which packs better.

    `tables` then counts rows and pairs by phase; in front of the columns stand the records' lengths.
    """
    phases = [phase for table in data["tables"] for phase in table.values()]
    return data | {
        "tables": [
            {name: [len(phase["rows"]), len(phase["pairs"])] for name, phase in table.items()}
            for table in data["tables"]
        ],
        "rows": _columns([row for phase in phases for row in phase["rows"]]),
        "pairs": _columns([pair for phase in phases for pair in phase["pairs"]]),
    }


def _columns(records: list[list[Any]]) -> list[list[Any]]:
    lengths = [len(record) for record in records]
    return [
        lengths,
        *(
            [record[place] for record in records if len(record) > place]
            for place in range(max(lengths, default=0))
        ),
    ]


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
    seconds = _rounded(row.seconds.estimate)
    return [number, seconds, *_samples(row.cell.timing, seconds, step)]


def _samples(timing: Timing, seconds: float, step: int) -> list[Any]:
    """Where the rounds lie, characters by process, and the disturbed rounds by process."""
    medians = [[float(value) for value in values[::step]] for values in seconds_of_rounds(timing)]
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
    span = math.log(high / low)
    # As fine as a character, whatever the span is.
    found = [_rounded(math.log(seconds / low), 3), _rounded(span), drawn]
    return [*found, disturbed] if any(disturbed) else found


def _pair(pair: Pair) -> list[Any]:
    interval = pair.ratio.interval
    half_width = _rounded(math.log(interval.high / interval.low) / 2) if interval.is_known else None
    letters = "".join(LETTERS[each] for each in pair.verdicts)
    return [pair.first, pair.second, _rounded(interval.estimate), half_width, letters]


def _rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")
