"""Every implementation against every other, so that a reader may choose the baseline."""

from dataclasses import dataclass, replace
from itertools import combinations

from bench.phases import Phase
from bench.statistics.intervals import Ratio
from bench.statistics.verdicts import Verdict, judged
from reports.speed import Comparison, Row, Table, between

LETTERS = {
    Verdict.FASTER: "f",
    Verdict.SLOWER: "s",
    Verdict.SAME: "e",
    Verdict.AMBIGUOUS: "a",
}


@dataclass(frozen=True)
class Pair:
    """Two rows of a phase.

    Attributes:
        first, second: their places among the phase's rows.
        ratio: time of the first relative to the second's.
        verdicts: of the first with the second as baseline, and of the second with the first, each
            corrected for all comparisons with that baseline.
    """

    first: int
    second: int
    ratio: Ratio
    verdicts: tuple[Verdict, Verdict]


Place = tuple[int, Phase]


def pairs(comparison: Comparison) -> dict[Place, list[Pair]]:
    """Return all pairs that share rounds, by number of the table in the comparison and phase."""
    found: dict[Place, list[tuple[int, int, Ratio]]] = {}
    against: dict[str, list[tuple[Phase, Ratio]]] = {
        name: [] for name in comparison.implementations
    }
    for number, table in enumerate(comparison.tables):
        for phase, rows in table.by_phase:
            own = found.setdefault((number, phase), [])
            for first, second in combinations(range(len(rows)), 2):
                compared = _compare(rows[first], rows[second], comparison.baseline)
                if compared is not None:
                    own.append((first, second, compared))
                    against[rows[second].cell.implementation].append((phase, compared))
                    against[rows[first].cell.implementation].append((phase, _inverse(compared)))
    verdicts = {name: iter(judged(compared)) for name, compared in against.items()}
    result = {}
    for (number, phase), members in found.items():
        rows = _rows(comparison.tables[number], phase)
        result[number, phase] = [
            Pair(
                first,
                second,
                compared,
                (
                    next(verdicts[rows[second].cell.implementation]),
                    next(verdicts[rows[first].cell.implementation]),
                ),
            )
            for first, second, compared in members
        ]
    return result


def _rows(table: Table, phase: Phase) -> list[Row]:
    return next(rows for own, rows in table.by_phase if own is phase)


def _compare(first: Row, second: Row, baseline: str) -> Ratio | None:
    """Ratio of two rows; what the comparison knows already is not computed again."""
    if second.cell.implementation == baseline:
        return first.ratio
    if first.cell.implementation == baseline:
        return None if second.ratio is None else _inverse(second.ratio)
    return between(first, second)


def _inverse(found: Ratio) -> Ratio:
    return replace(found, interval=found.interval.inverse())
