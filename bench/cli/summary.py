"""What `sparsebench run` prints when it is done."""

import math
from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from bench.cli.output import print_json, print_table
from bench.phases import HEADLINE, Phase
from bench.results.schema import Cell, Run, Status
from bench.statistics.intervals import seconds_per_call
from reports import words

if TYPE_CHECKING:
    from reports.speed import Comparison

LARGEST_PERCENT = 100
"""Of an interval's half: whoever is less sure knows nothing."""
UNIT = "median in milliseconds, ± half of its 99 % interval"


def print_summary(run: Run, path: Path, *, as_json: bool, page_follows: bool) -> None:
    """Print times, of the main phases only where there are many, what to use, how all ended, doubts."""
    from reports.speed import compare  # noqa: PLC0415
    from reports.verdicts import doubts_of_times  # noqa: PLC0415

    comparison = compare(run)
    statuses = Counter(str(cell.status) for cell in run.cells)
    if as_json:
        print_json(
            {
                "path": str(path),
                "statuses": statuses,
                "cells": [_record(cell) for cell in run.cells],
                "seconds": _spent(run),
                "recommendations": [row for _, rows in _recommended(comparison) for row in rows],
            }
        )
        return
    for dtype in dict.fromkeys(cell.dtype for cell in run.cells):
        for phase in _shown(run):
            rows = _rows(run, phase, dtype)
            if rows:
                print_table(f"{phase}, {dtype}: {UNIT}", rows)
    _print_recommendations(comparison)
    counts = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    print(f"{words.count(len(run.cells), 'cell')}: {counts}")  # noqa: T201
    for line in _failures(run):
        print(line)  # noqa: T201
    for doubt in doubts_of_times(run, comparison):
        print(f"doubt: {doubt}")  # noqa: T201
    hint = f"; `sparsebench report {quote(str(path))}` makes a page of it"
    print(f"written: {path}{'' if page_follows else hint}")  # noqa: T201


def _print_recommendations(comparison: "Comparison") -> None:
    """Print which implementation to use for what, where there are two or more."""
    for title, rows in _recommended(comparison):
        shown = [{key: text for key, text in row.items() if key != "setting"} for row in rows]
        print_table(title, shown)


def _recommended(comparison: "Comparison") -> list[tuple[str, list[dict[str, str]]]]:
    """Tables of which implementation to use for what, with their titles."""
    from reports.recommendation import caption, covered, recommendations, said  # noqa: PLC0415

    tables = []
    for setting in comparison.settings:
        rows = [
            {"setting": setting.title}
            | {"workloads": ", ".join(filter(None, (row.name, covered(row))))}
            | {str(phase): said(row, phase) for phase in comparison.headline}
            for row in recommendations(comparison, setting)
        ]
        if rows:
            tables.append((f"which to use, {setting.title}. {caption(comparison)}", rows))
    return tables


def _shown(run: Run) -> list[Phase]:
    measured = [phase for phase in Phase if any(cell.phase is phase for cell in run.cells)]
    main = [phase for phase in measured if phase in HEADLINE]
    return main if main and len(measured) > len(HEADLINE) else measured


def _rows(run: Run, phase: Phase, dtype: str) -> list[dict[str, str]]:
    cells = [cell for cell in run.cells if cell.phase is phase and cell.dtype == dtype]
    nowhere = {Status.UNSUPPORTED, Status.UNAVAILABLE}
    names = list(dict.fromkeys(c.implementation for c in cells if c.status not in nowhere))
    rows = []
    for workload in dict.fromkeys(cell.workload for cell in cells):
        found = {cell.implementation: cell for cell in cells if cell.workload == workload}
        rows.append({"workload": workload} | {name: _text(found.get(name)) for name in names})
    return rows


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.timing is None:
        return str(cell.status)
    seconds = seconds_per_call(cell.timing)
    text = f"{seconds.estimate * 1e3:.3g}"
    if not seconds.is_known:
        return text
    percent = 100 * (math.sqrt(seconds.high / seconds.low) - 1)
    if percent > LARGEST_PERCENT:
        return f"{text} ±>{LARGEST_PERCENT}%"
    return f"{text} ±{percent:.{1 if percent < 10 else 0}f}%"


def _record(cell: Cell) -> dict[str, object]:
    seconds = None if cell.timing is None else seconds_per_call(cell.timing)
    return {
        "workload": cell.workload,
        "implementation": cell.implementation,
        "phase": cell.phase,
        "dtype": cell.dtype,
        "device": cell.device,
        "status": cell.status,
        "reason": cell.reason,
        "seconds": seconds,
    }


def _spent(run: Run) -> dict[str, float]:
    total: Counter[str] = Counter()
    for unit in run.units:
        total.update(unit.seconds)
    return dict(total)


def _failures(run: Run) -> list[str]:
    """One line for each reason, with how many cells it cost."""
    shown = set(Status) - {Status.OK, Status.UNSUPPORTED}
    reasons = Counter(
        (cell.implementation, str(cell.status), cell.reason)
        for cell in run.cells
        if cell.status in shown
    )
    return [
        f"{implementation}: {status} in {words.count(count, 'cell')}: {reason}"
        for (implementation, status, reason), count in reasons.most_common()
    ]
