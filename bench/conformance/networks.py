"""Whole networks as cases: in evaluation and in training, in every background mode that they have."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.background import Background
from bench.conformance.cases import Case
from bench.dtypes import DTYPES
from bench.network import Network
from bench.window import Axes

DENSITIES = (0.0, 0.05, 0.5)
USUAL_DENSITY = 0.05
BATCH_SIZE = 6


@dataclass(frozen=True)
class NamedNetwork:
    """A network that conformance is checked on, small enough for all of its cases.

    Attributes:
        name: what it is.
        channels: of the input.
        grid_size: of the input.
        backgrounds: what inactive sites can hold between its layers: the ground state only where
            convolutions are valid, act on every site alike, and no batch norm lies between them.
    """

    name: str
    network: Network
    channels: int
    grid_size: Axes
    backgrounds: tuple[Background, ...]


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
