"""Whole networks as cases: in evaluation and in training, in every background mode that they have."""

from collections.abc import Iterable
from typing import Protocol

from bench.background import Background
from bench.conformance.cases import Case
from bench.dtypes import DTYPES
from bench.network import Network
from bench.window import Axes

DENSITIES = (0.0, 0.05, 0.5)
USUAL_DENSITY = 0.05
BATCH_SIZE = 6


class NamedNetwork(Protocol):
    """A network that conformance is checked on."""

    @property
    def name(self) -> str:
        """What it is."""
        ...

    @property
    def network(self) -> Network:
        """Its layers."""
        ...

    @property
    def channels(self) -> int:
        """Of the input."""
        ...

    @property
    def grid_size(self) -> Axes:
        """Of the input."""
        ...

    @property
    def backgrounds(self) -> tuple[Background, ...]:
        """The modes that it is checked in."""
        ...


def network_cases(
    networks: Iterable[NamedNetwork], dtypes: tuple[str, ...] = tuple(DTYPES)
) -> list[Case]:
    """Every density in the first element type, the usual one in the others.

    A batch without any active site is left out where a batch norm would have to train on it.
    """
    return [
        Case(
            operator=f"{subject.name}, {background}",
            network=subject.network,
            grid_size=subject.grid_size,
            density=density,
            dtype=dtype,
            seed=seed,
            background=background,
            batch_size=BATCH_SIZE,
            channels=subject.channels,
        )
        for subject in networks
        for background in subject.backgrounds
        for rank, dtype in enumerate(dtypes)
        for seed, density in enumerate((USUAL_DENSITY,) if rank else DENSITIES)
        if density or not subject.network.has_norms
    ]
