"""The fairness ledger: what lies inside the timed region, by phase and implementation."""

from dataclasses import dataclass

from bench.phases import TIMED_REGION, Phase
from bench.results.schema import ImplementationRecord, Run
from reports.speed import Comparison


@dataclass(frozen=True)
class Entry:
    """Implementations whose timed region in a phase is described in the same words."""

    region: str
    implementations: tuple[str, ...]
    is_usual: bool


@dataclass(frozen=True)
class Ledger:
    """The whole ledger.

    Attributes:
        phases: entries of every phase that was timed; the usual region first.
        records: implementations as the run found them, in the page's order.
    """

    phases: tuple[tuple[Phase, tuple[Entry, ...]], ...]
    records: tuple[ImplementationRecord, ...]


def ledger(run: Run, comparison: Comparison) -> Ledger:
    """Collect what every implementation says about every phase that was measured or asked for."""
    found = {record.name: record for record in run.header.implementations}
    records = tuple(found[name] for name in comparison.implementations if name in found)
    asked = {*comparison.phases, *run.header.settings.phases}
    return Ledger(
        tuple((phase, _entries(phase, records)) for phase in Phase if phase in asked), records
    )


def _entries(phase: Phase, records: tuple[ImplementationRecord, ...]) -> tuple[Entry, ...]:
    members: dict[str, list[str]] = {}
    for record in records:
        members.setdefault(record.ledger.get(phase, ""), []).append(record.name)
    usual = TIMED_REGION[phase]
    entries = (
        Entry(region or "not stated", tuple(names), region == usual)
        for region, names in members.items()
    )
    return tuple(sorted(entries, key=lambda entry: not entry.is_usual))
