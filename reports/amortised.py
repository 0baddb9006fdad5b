"""What a cold start costs when its kernel map is used k times: (cold + (k - 1) warm) / k.

Ratios follow the paired ratios of both phases: used once, a map costs what its cold pass does.
"""

import math
from dataclasses import dataclass
from statistics import geometric_mean, median

from bench.phases import Phase
from reports.speed import Comparison, Setting, Table
from reports.words import label, listed

REUSES = (1, 10, 100)


@dataclass(frozen=True)
class Amortised:
    """One implementation on one workload.

    Attributes:
        seconds: of a call, by number of uses of one kernel map, as `REUSES`.
        ratios: the same relative to the baseline's, or empty.
        pays_from: the smallest number of uses that makes it cheaper than the baseline; None where
            no number does, or there is no baseline.
        pays_until: the largest; None where there is none.
    """

    workload: str
    implementation: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]
    pays_from: int | None
    pays_until: int | None = None


@dataclass(frozen=True)
class AmortisedSummary:
    """One implementation over all workloads: geometric means of the ratios."""

    implementation: str
    workloads: int
    ratios: tuple[float, ...]
    pays: int
    median_pays_from: float | None


def amortised(comparison: Comparison, setting: Setting) -> list[Amortised]:
    """Return the cold cost over k uses wherever both forward phases were timed."""
    found = []
    for table in comparison.of(setting):
        against = _cold_and_warm(table, comparison.baseline)
        for name in comparison.implementations:
            own = _cold_and_warm(table, name)
            if own is not None:
                scaled = against and _scaled(table, name, against)
                found.append(_amortise(table.workload.name, name, own, scaled, against))
    return found


def summarise(rows: list[Amortised], baseline: str) -> list[AmortisedSummary]:
    """Sum up over workloads, for each implementation but the baseline."""
    found = []
    for name in dict.fromkeys(row.implementation for row in rows):
        members = [row for row in rows if row.implementation == name and row.ratios]
        if not members or name == baseline:
            continue
        pays = [
            row.pays_from for row in members if row.pays_from is not None and row.pays_until is None
        ]
        means = tuple(
            geometric_mean(row.ratios[place] for row in members) for place in range(len(REUSES))
        )
        found.append(
            AmortisedSummary(name, len(members), means, len(pays), median(pays) if pays else None)
        )
    return found


def finding(rows: list[AmortisedSummary], baseline: str) -> str:
    """Say who comes in which order when a map is used once, and when it is used often."""
    orders = []
    for place in (0, len(REUSES) - 1):
        ratios = {row.implementation: row.ratios[place] for row in rows} | {baseline: 1.0}
        orders.append([label(name) for name in sorted(ratios, key=lambda name: ratios[name])])
    once, often = orders
    if once == often:
        return f"from fastest to slowest, used once or {REUSES[-1]} times: {listed(once)}"
    return (
        f"from fastest to slowest, used once: {listed(once)}; "
        f"used {REUSES[-1]} times: {listed(often)}"
    )


def _cold_and_warm(table: Table, name: str) -> tuple[float, float] | None:
    cold, warm = table.find(name, Phase.FORWARD_COLD), table.find(name, Phase.FORWARD)
    if cold is None or warm is None or cold.seconds is None or warm.seconds is None:
        return None
    return cold.seconds.estimate, warm.seconds.estimate


def _scaled(table: Table, name: str, against: tuple[float, float]) -> tuple[float, float] | None:
    """The baseline's times, multiplied by the ratios to it; None where a ratio is missing."""
    rows = [table.find(name, phase) for phase in (Phase.FORWARD_COLD, Phase.FORWARD)]
    factors = [row.ratio.interval.estimate for row in rows if row is not None and row.ratio]
    if len(factors) < len(rows):
        return None
    return against[0] * factors[0], against[1] * factors[1]


def _amortise(
    workload: str,
    name: str,
    own: tuple[float, float],
    scaled: tuple[float, float] | None,
    against: tuple[float, float] | None,
) -> Amortised:
    seconds = tuple(_per_call(own, uses) for uses in REUSES)
    if scaled is None or against is None:
        return Amortised(workload, name, seconds, (), None)
    ratios = tuple(_per_call(scaled, uses) / _per_call(against, uses) for uses in REUSES)
    return Amortised(workload, name, seconds, ratios, *_pays(scaled, against))


def _per_call(cold_and_warm: tuple[float, float], uses: int) -> float:
    cold, warm = cold_and_warm
    return (cold + (uses - 1) * warm) / uses


def _pays(own: tuple[float, float], against: tuple[float, float]) -> tuple[int | None, int | None]:
    """Smallest and largest k with cold + (k - 1) warm below the other's.

    Both sides grow linearly in k: they cross once at most.
    """
    behind = own[0] - against[0]
    gain = against[1] - own[1]
    if behind < 0:
        return 1, None if gain >= 0 else math.ceil(behind / gain)
    if gain <= 0:
        return None, None
    return 2 + math.floor(behind / gain), None
