"""The most memory that a call took beyond what stood before, workload by workload."""

from dataclasses import dataclass
from statistics import median

from bench.phases import Phase
from reports import words
from reports.speed import Comparison, Setting

PREFERRED = (Phase.TRAIN_STEP, Phase.FORWARD_COLD, Phase.FORWARD)
"""A training step holds most at once; then a cold pass."""


@dataclass(frozen=True)
class Memory:
    """Peaks of one phase in one setting.

    Attributes:
        implementations: those with a peak anywhere.
        lines: number of the workload's table, its name, and bytes by implementation.
        relative: median over workloads of the peak relative to the baseline's, by implementation.
    """

    phase: Phase
    implementations: tuple[str, ...]
    lines: tuple[tuple[int, str, tuple[int | None, ...]], ...]
    relative: tuple[float | None, ...]


def memory(comparison: Comparison, setting: Setting) -> Memory | None:
    """Return the peaks of the first of the preferred phases that has any."""
    for phase in PREFERRED:
        found = [
            (number, table.workload.name, _peaks(comparison, number, phase))
            for number, table in enumerate(comparison.tables)
            if table.setting == setting
        ]
        names = tuple(
            name
            for name in comparison.implementations
            if any(name in peaks for _, _, peaks in found)
        )
        if names:
            return Memory(
                phase,
                names,
                tuple(
                    (number, workload, tuple(peaks.get(name) for name in names))
                    for number, workload, peaks in found
                    if peaks
                ),
                tuple(
                    _relative([peaks for _, _, peaks in found], name, comparison.baseline)
                    for name in names
                ),
            )
    return None


def finding(found: Memory, baseline: str) -> str:
    """Say who takes how much of the baseline's memory, the least first."""
    known = sorted(
        (ratio, name)
        for ratio, name in zip(found.relative, found.implementations, strict=True)
        if ratio is not None
    )
    if not known:
        return "peaks"
    shares = words.listed(f"{words.label(name)} {words.ratio(ratio)}" for ratio, name in known)
    return f"against {words.label(baseline)}, in the median workload {shares}"


def _peaks(comparison: Comparison, number: int, phase: Phase) -> dict[str, int]:
    return {
        row.cell.implementation: row.cell.peak_bytes
        for row in comparison.tables[number].rows
        if row.cell.phase is phase and row.cell.peak_bytes is not None
    }


def _relative(peaks: list[dict[str, int]], name: str, baseline: str) -> float | None:
    ratios = [own[name] / own[baseline] for own in peaks if name in own and own.get(baseline)]
    return median(ratios) if ratios and name != baseline else None
