"""The experiments of the papers and of their reproductions, full and small, as plain data."""

from bench.errors import UserError
from bench.training.experiment import Experiment
from suites.accuracy import on_digits, on_dropped_pixels, on_handwriting
from suites.accuracy.entry import Entry


def entries() -> tuple[Entry, ...]:
    """All experiments."""
    return (
        *on_digits.experiments(),
        *on_handwriting.experiments(),
        *on_dropped_pixels.experiments(),
    )


def find(name: str, *, small: bool = False) -> Experiment:
    """Return an experiment by name.

    Raises:
        UserError: if there is none.
    """
    found = {entry.full.name: entry for entry in entries()}
    if name not in found:
        raise UserError(f"there is no experiment {name!r}; `sparsebench train --list` shows them")
    return found[name].small if small else found[name].full
