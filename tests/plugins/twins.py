"""The project's implementations once more, under other names: whatever differs is a false alarm."""

from impls.dense import Dense
from impls.gather import Gather


class GatherTwin(Gather):
    """Gather under another name."""

    name = "gather_twin"


class DenseTwin(Dense):
    """Dense under another name."""

    name = "dense_twin"
