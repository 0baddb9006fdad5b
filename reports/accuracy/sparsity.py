"""Error against sparsity for several convolutions: trained at one sparsity, tested at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports import words
from reports.accuracy.charts import Chart, Series
from reports.accuracy.table import Trained, epochs_of, longest, part

INVARIANT = "sparsity_invariant"
NORMAL_95 = 1.96
"""Standard errors within which 95 % of a normal distribution lie."""


@dataclass(frozen=True)
class Cell:
    """A network tested at some sparsity.

    Attributes:
        percent: test error, a mean over the seeds.
        is_own: whether it was trained at this sparsity.
        is_best: whether no other convolution, trained as long and tested at the same ones, errs less.
    """

    percent: float
    is_own: bool
    is_best: bool


@dataclass(frozen=True)
class Study:
    """One data set with pixels dropped.

    Attributes:
        tested: names of the sparsities that networks were tested at.
        matrix: convolution, percent of the pixels that were dropped in training, a cell for each
            sparsity of `tested`; None where it was not tested.
    """

    chart: Chart
    tested: tuple[str, ...]
    matrix: tuple[tuple[str, str, tuple[Cell | None, ...]], ...]

    @property
    def has_curve(self) -> bool:
        """Whether anything was trained at more sparsities than one."""
        return any(len(series.points) > 1 for series in self.chart.series)


def studies(rows: Sequence[Trained]) -> list[Study]:
    """Find what was trained at some sparsity and tested at others."""
    groups: dict[tuple[str, ...], list[Trained]] = {}
    for row in rows:
        settings = row.first.settings
        if _dropped(row) is None or not row.first.also_tested:
            continue
        data = settings.experiment.split("-")[0]
        groups.setdefault((data, str(settings.small), row.implementation), []).append(row)
    return [
        _study(data, longest(alike, lambda row: (_kind(row), _dropped(row))))
        for (data, *_), alike in groups.items()
    ]


def _study(data: str, rows: list[Trained]) -> Study:
    kinds: dict[str, list[Trained]] = {}
    for row in sorted(rows, key=lambda row: _dropped(row) or 0.0):
        kinds.setdefault(_kind(row), []).append(row)
    tested = tuple(dict.fromkeys(name for row in rows for name in row.first.also_tested))
    series = []
    for number, (kind, alike) in enumerate(sorted(kinds.items(), reverse=True), start=1):
        series.append(
            Series(kind, tuple((_dropped(row) or 0.0, row.error_percent) for row in alike), number)
        )
        published = tuple(
            (_dropped(row) or 0.0, row.compared[0].error_percent) for row in alike if row.compared
        )
        if published:
            origin = next(row.compared[0].origin for row in alike if row.compared)
            series.append(Series(f"{kind}, {origin}", published, number, is_published=True))
    small = " (small)" if rows[0].first.settings.small else ""
    chart = Chart(
        heading=f"{data}{small}, {rows[0].implementation}, {epochs_of(rows)}",
        caption=f"Test error of networks trained and tested with that share of the pixels dropped. "
        f"{_finding(kinds)}",
        series=tuple(series),
        y_label="test error",
        x_label="pixels dropped, %",
        is_straight=True,
        x_ticks=tuple(dict.fromkeys(sorted(_dropped(row) or 0.0 for row in rows))),
    )
    matrix = tuple(
        (kind, f"{words.plain(_dropped(row) or 0.0)} %", _cells(kind, row, kinds, tested))
        for kind, alike in sorted(kinds.items(), reverse=True)
        for row in alike
    )
    return Study(chart, tested, matrix)


def _cells(
    kind: str, row: Trained, kinds: dict[str, list[Trained]], tested: Sequence[str]
) -> tuple[Cell | None, ...]:
    others = _rivals(kind, row, kinds)
    cells: list[Cell | None] = []
    for name in tested:
        own = _tested(row, name)
        if own is None:
            cells.append(None)
            continue
        rivals = [found for other in others if (found := _tested(other, name)) is not None]
        cells.append(
            Cell(
                percent=own,
                is_own=name == f"{words.plain(_dropped(row) or 0.0)} %",
                is_best=bool(rivals) and own <= min(rivals),
            )
        )
    return tuple(cells)


def _rivals(kind: str, row: Trained, kinds: dict[str, list[Trained]]) -> list[Trained]:
    """What other convolutions gave, trained at the same sparsity for as many epochs."""
    return [
        other
        for name, alike in kinds.items()
        if name != kind
        for other in alike
        if _dropped(other) == _dropped(row)
        and other.first.settings.epochs == row.first.settings.epochs
    ]


def _finding(kinds: dict[str, list[Trained]]) -> str:
    """Say at which sparsities the sparsity invariant convolution errs less than the others."""
    found: dict[str, list[str]] = {
        "has a lower error at": [],
        "has a higher error at": [],
        "is too close to call at": [],
    }
    less, more, unclear = found.values()
    for ours in kinds.get(words_of(INVARIANT), []):
        rivals = _rivals(words_of(INVARIANT), ours, kinds)
        if not rivals:
            continue
        rival = min(rivals, key=lambda row: row.error_percent)
        place = f"{words.plain(_dropped(ours) or 0.0)} %"
        difference = ours.error_percent - rival.error_percent
        if abs(difference) <= NORMAL_95 * math.hypot(_standard_error(ours), _standard_error(rival)):
            unclear.append(place)
        else:
            (less if difference < 0 else more).append(place)
    said = [f"{verb} {words.listed(places)}" for verb, places in found.items() if places]
    if not said:
        return ""
    return f"Sparsity invariant convolution {words.listed(said)} (95 %, by the number of samples)."


def _standard_error(row: Trained) -> float:
    """Of a mean error in percent: what drawing other test samples would change; seeds share them."""
    share = row.error_percent / 100
    return 100 * math.sqrt(max(share * (1 - share), 0.0) / max(row.first.test_samples, 1))


def words_of(rule: str) -> str:
    """A convolution's kind in words."""
    return rule.replace("_", " ") if rule == INVARIANT else "ordinary"


def _kind(row: Trained) -> str:
    layers = part(row.first, "network", "layers")
    rules = [
        layer["operator"].get("rule")
        for layer in (layers if isinstance(layers, list) else [])
        if isinstance(layer, dict) and isinstance(layer.get("operator"), dict)
    ]
    return words_of(INVARIANT if INVARIANT in rules else "")


def _dropped(row: Trained) -> float | None:
    """Percent of the pixels that training drops."""
    share = row.source("sparsity")
    return round(100 * share, 6) if isinstance(share, int | float) else None


def _tested(row: Trained, name: str) -> float | None:
    found = [run.also_tested[name] for run in row.runs if name in run.also_tested]
    return 100 * sum(found) / len(found) if found else None
