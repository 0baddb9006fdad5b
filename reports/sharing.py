"""Who shares kernel maps between layers, by what later layers of a stack cost more cold than warm.

Submanifold convolutions with the same window on the same sites need the same kernel map. In a cold
pass the first of them has to build it; whether the others do again shows in their times.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any, NamedTuple

from reports.layer_times import Pass, Profile

SHARED, REBUILT = 0.25, 0.5
"""Cost of a later layer's map relative to the first one's: below is shared, above is built again."""
NOTICEABLE = 0.1
"""Of the first layer's warm time: where no layer costs as much more, there is no map to share."""
AGREEMENT = 0.75
"""Share of the stacks with a map that must say the same: times of single layers are noisy."""


class Finding(StrEnum):
    """What the times say."""

    SHARED = "later layers use the first one's map"
    REBUILT = "every layer builds its own"
    NONE = "no layer costs noticeably more cold than warm"
    UNCLEAR = "unclear: stacks disagree"


@dataclass(frozen=True)
class Sharing:
    """One implementation over all stacks of all networks.

    Attributes:
        first: median seconds that the first layer of a stack takes more cold than warm.
        later: the same of each later one.
    """

    implementation: str
    stacks: int
    first: float
    later: float
    finding: Finding


def sharing(profiles: Iterable[Profile]) -> list[Sharing]:
    """Compare cold and warm passes over every stack; nothing where no network has one."""
    found: dict[str, list[_Stack]] = {}
    for profile in profiles:
        by_pass = {(one.implementation, one.temperature): one for one in profile.passes}
        for layers in stacks(profile.workload.definition):
            for name in dict.fromkeys(one.implementation for one in profile.passes):
                warm, cold = by_pass.get((name, "warm")), by_pass.get((name, "cold"))
                if warm is None or cold is None or not _hold(layers, warm, cold):
                    continue
                extra = [cold.seconds[layer] - warm.seconds[layer] for layer in layers]
                stack = _Stack(extra[0], median(extra[1:]), warm.seconds[layers[0]])
                found.setdefault(name, []).append(stack)
    return [_sum_up(name, members) for name, members in found.items()]


def stacks(definition: dict[str, Any]) -> list[list[str]]:
    """Names of submanifold convolutions that need the same map: two or more, by map.

    A layer's sites are known by the layer that made them: pointwise layers and submanifold
    convolutions keep them, an inverse convolution goes back to an earlier layer's.
    """
    network = definition.get("network")
    layers = network.get("layers") if isinstance(network, dict) else None
    if not isinstance(layers, list):
        return []
    sites = {"input": "input"}
    before = "input"
    found: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("operator"), dict):
            return []
        name, operator = str(layer.get("name")), layer["operator"]
        reads = [str(read) for read in layer.get("reads") or [before]]
        source = sites.get(reads[0], reads[0])
        match operator.get("kind"), operator.get("rule"):
            case "Convolution", "submanifold":
                sites[name] = source
                found.setdefault((source, str(operator.get("window"))), []).append(name)
            case (("Convolution" | "MaxPooling"), _):
                sites[name] = name
            case "InverseConvolution", _:
                sites[name] = sites.get(reads[-1], reads[-1])
            case _:
                sites[name] = source
        before = name
    return [names for names in found.values() if len(names) > 1]


def _hold(layers: list[str], *passes: Pass) -> bool:
    return all(layer in one.seconds for one in passes for layer in layers)


class _Stack(NamedTuple):
    """Seconds: cold beyond warm of the first layer, of each later one; warm of the first."""

    first: float
    later: float
    warm: float

    @property
    def finding(self) -> Finding:
        if max(self.first, self.later) <= NOTICEABLE * self.warm:
            return Finding.NONE
        if self.later <= SHARED * self.first:
            return Finding.SHARED
        return Finding.REBUILT if self.later >= REBUILT * self.first else Finding.UNCLEAR


def _sum_up(name: str, members: list[_Stack]) -> Sharing:
    return Sharing(
        name,
        len(members),
        median([stack.first for stack in members]),
        median([stack.later for stack in members]),
        _verdict(Counter(stack.finding for stack in members)),
    )


def _verdict(said: Counter[Finding]) -> Finding:
    """What stacks agree on; where the first one's map was there already, a stack says nothing."""
    silent = said.pop(Finding.NONE, 0)
    speaking = said.total()
    if silent > speaking:
        return Finding.NONE
    finding, number = said.most_common(1)[0]
    return finding if number >= AGREEMENT * speaking else Finding.UNCLEAR
