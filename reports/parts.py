"""Where the time of a single operator's cold call goes: encoding, the map, and parts of the rest."""

from dataclasses import dataclass
from statistics import median

from bench.phases import Phase
from reports.speed import Comparison, Setting, Table

BEFORE = {"encode": Phase.ENCODE, "map": Phase.MAP}
REST = "rest"


@dataclass(frozen=True)
class Parts:
    """One implementation on one workload: seconds by part, in order."""

    workload: str
    implementation: str
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())

    def share(self, part: str) -> float | None:
        """Share of a part, None where it was not told apart."""
        return self.seconds[part] / self.total if part in self.seconds and self.total else None


@dataclass(frozen=True)
class PartsSummary:
    """One implementation over all workloads: median shares by part."""

    implementation: str
    workloads: int
    shares: dict[str, float | None]


def parts(comparison: Comparison, setting: Setting) -> list[Parts]:
    """Return the parts of every workload and implementation that has been taken apart."""
    found = []
    for table in comparison.of(setting):
        for name in comparison.implementations:
            row = table.find(name, Phase.FORWARD)
            if row is not None and row.cell.parts:
                seconds = _before(table, name) | {
                    part: nanoseconds * 1e-9 for part, nanoseconds in row.cell.parts.items()
                }
                found.append(Parts(table.workload.name, name, seconds))
    return found


def names_of(rows: list[Parts]) -> list[str]:
    """Name every part once, what is left last."""
    names = dict.fromkeys(part for row in rows for part in row.seconds)
    return [*(name for name in names if name != REST), REST]


def summarise(rows: list[Parts]) -> list[PartsSummary]:
    """Sum up over workloads."""
    names = names_of(rows)
    members: dict[str, list[Parts]] = {}
    for row in rows:
        members.setdefault(row.implementation, []).append(row)
    return [
        PartsSummary(name, len(own), {part: _median_share(own, part) for part in names})
        for name, own in members.items()
    ]


def _before(table: Table, name: str) -> dict[str, float]:
    """Seconds of what comes before a warm call, where it was timed."""
    rows = {part: table.find(name, phase) for part, phase in BEFORE.items()}
    return {
        part: row.seconds.estimate
        for part, row in rows.items()
        if row is not None and row.seconds is not None
    }


def _median_share(rows: list[Parts], part: str) -> float | None:
    shares = [share for row in rows if (share := row.share(part)) is not None]
    return median(shares) if shares else None
