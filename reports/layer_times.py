"""Where the time of a network goes: by layer and by kind of layer, cold against warm."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.phases import Phase
from bench.results.schema import WorkloadRecord
from reports.speed import Comparison, Setting, Table
from reports.words import count

PASSES = {"warm": Phase.FORWARD, "cold": Phase.FORWARD_COLD}
ENCODE, CONVOLUTION, POOLING, OTHER = "encode", "convolution", "pooling", "other"
KINDS = (ENCODE, CONVOLUTION, POOLING, OTHER)
KIND_OF_OPERATOR = {
    "Convolution": CONVOLUTION,
    "InverseConvolution": CONVOLUTION,
    "MaxPooling": POOLING,
}
SMALLEST_SHARE = 0.01
"""Layers that take less of every pass are summed up in one line."""
BAR_WIDTH = 1000


@dataclass(frozen=True)
class Pass:
    """One pass of an implementation through a network.

    Attributes:
        temperature: `warm` or `cold`.
        seconds: of every layer, by name, in order.
        kinds: seconds by kind of layer.
        bar: for each kind, SVG path data of its layers on a bar `BAR_WIDTH` wide and 10 high.
    """

    implementation: str
    temperature: str
    seconds: dict[str, float]
    kinds: dict[str, float]
    bar: dict[str, str]

    @property
    def total(self) -> float:
        """Seconds of the whole pass."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class LayerLine:
    """One layer, or the small ones together, in every pass; None where it has no time."""

    name: str
    kind: str
    seconds: tuple[float | None, ...]


@dataclass(frozen=True)
class Profile:
    """All passes through one workload's network in one setting."""

    workload: WorkloadRecord
    setting: Setting
    passes: tuple[Pass, ...]
    lines: tuple[LayerLine, ...]


@dataclass(frozen=True)
class KindSummary:
    """One implementation over all networks: medians of shares.

    Attributes:
        shares: of a cold pass, by kind of layer.
        beyond_warm: share of a cold pass that a warm one does not take: kernel maps, mostly; None
            where no network has both passes.
    """

    implementation: str
    networks: int
    shares: dict[str, float]
    beyond_warm: float | None


def profiles(comparison: Comparison, setting: Setting) -> list[Profile]:
    """Return a profile of every workload whose cells carry times by layer."""
    found = (_profile(comparison, table) for table in comparison.of(setting))
    return [profile for profile in found if profile is not None]


def summarise(profiles: Iterable[Profile]) -> list[KindSummary]:
    """Sum up cold passes by implementation."""
    cold: dict[str, list[Pass]] = {}
    beyond: dict[str, list[float]] = {}
    for profile in profiles:
        warm = {one.implementation: one for one in profile.passes if one.temperature == "warm"}
        for one in profile.passes:
            if one.temperature == "cold" and one.total > 0:
                cold.setdefault(one.implementation, []).append(one)
                if one.implementation in warm:
                    share = 1 - warm[one.implementation].total / one.total
                    beyond.setdefault(one.implementation, []).append(share)
    return [
        KindSummary(
            name,
            len(members),
            {kind: median([one.kinds[kind] / one.total for one in members]) for kind in KINDS},
            median(beyond[name]) if name in beyond else None,
        )
        for name, members in cold.items()
    ]


def kinds_of_layers(definition: dict[str, Any]) -> dict[str, str]:
    """Kind of every layer by name, from a workload's definition; of what can be read of it."""
    network = definition.get("network")
    layers = network.get("layers") if isinstance(network, dict) else None
    found = {ENCODE: ENCODE}
    for layer in layers if isinstance(layers, list) else ():
        operator = layer.get("operator") if isinstance(layer, dict) else None
        if isinstance(operator, dict):
            kind = KIND_OF_OPERATOR.get(str(operator.get("kind")), OTHER)
            found[str(layer.get("name"))] = kind
    return found


def _profile(comparison: Comparison, table: Table) -> Profile | None:
    kinds = kinds_of_layers(table.workload.definition)
    passes = []
    for name in comparison.implementations:
        for temperature, phase in PASSES.items():
            row = table.find(name, phase)
            if row is not None and row.cell.layers:
                passes.append(_pass(name, temperature, row.cell.layers, kinds))
    if not passes:
        return None
    return Profile(table.workload, table.setting, tuple(passes), _lines(passes, kinds))


def _pass(name: str, temperature: str, layers: dict[str, float], kinds: dict[str, str]) -> Pass:
    seconds = {layer: max(0.0, nanoseconds) * 1e-9 for layer, nanoseconds in layers.items()}
    by_kind = dict.fromkeys(KINDS, 0.0)
    for layer, value in seconds.items():
        by_kind[kinds.get(layer, OTHER)] += value
    return Pass(name, temperature, seconds, by_kind, _bar(seconds, kinds))


def _bar(seconds: dict[str, float], kinds: dict[str, str]) -> dict[str, str]:
    """Lay the layers out one after another, each as wide as its share."""
    total = sum(seconds.values())
    paths = dict.fromkeys(KINDS, "")
    start = 0.0
    for layer, value in seconds.items():
        end = start + BAR_WIDTH * value / total if total else start
        if end - start >= 1:
            # A sliver of the background tells neighbours of one kind apart.
            paths[kinds.get(layer, OTHER)] += f"M{start:.0f} 0H{end - 1:.0f}V10H{start:.0f}z"
        start = end
    return {kind: path for kind, path in paths.items() if path}


def _lines(passes: list[Pass], kinds: dict[str, str]) -> tuple[LayerLine, ...]:
    found = dict.fromkeys(layer for one in passes for layer in one.seconds)
    # Warm passes do not encode, and come first.
    names = sorted(found, key=lambda name: name != ENCODE)
    large = [name for name in names if any(_share(one, name) >= SMALLEST_SHARE for one in passes)]
    small = [name for name in names if name not in large]
    lines = [
        LayerLine(name, kinds.get(name, OTHER), tuple(one.seconds.get(name) for one in passes))
        for name in large
    ]
    if small:
        rest = tuple(sum(one.seconds.get(name, 0.0) for name in small) for one in passes)
        lines.append(LayerLine(count(len(small), "smaller layer"), "", rest))
    return tuple(lines)


def _share(one: Pass, name: str) -> float:
    return one.seconds.get(name, 0.0) / one.total if one.total else 0.0
