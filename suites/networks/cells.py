"""How the workloads of suite `networks` are put together and named."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.background import Background
from bench.network import Network
from bench.workload import Input, Workload


@dataclass(frozen=True)
class Curve:
    """Workloads that differ in one thing only.

    Attributes:
        group: the name of what they share.
        axis: what they differ in: `grid size`, `density`, ...
    """

    group: str
    axis: str


def cell(
    name: str,
    network: Network,
    source: Input,
    channels: int = 1,
    *,
    curve: Curve | None = None,
    position: float = 0.0,
) -> Workload:
    """Make a workload with zero background, on a curve or on none."""
    if curve is None:
        return Workload(name, network, source, channels)
    return Workload(
        name, network, source, channels, group=curve.group, position=position, axis=curve.axis
    )


def in_ground_state(workloads: Iterable[Workload]) -> list[Workload]:
    """The same workloads with the ground state as background."""
    return [
        replace(
            workload,
            name=f"{workload.name}-ground",
            group=f"{workload.group}, ground state" if workload.group else "",
            background=Background.GROUND_STATE,
        )
        for workload in workloads
    ]
