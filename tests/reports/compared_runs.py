"""Two runs in which one implementation differs, by little or by much, as one has changed it."""

from dataclasses import replace

from bench.comparison import compare_runs
from tests.reports.synthetic_runs import Noise, density_group, make_run, usual_times

NAMES = ("dense", "gather", "masked")
STEADY = Noise(rounds=0.003, processes=0.001, count=4)


def made(factor=1.0, *, seed=1, noise=STEADY, names=NAMES, records=None):
    """A run in which gather takes so many times as long as usual."""

    def times(name, record):
        seconds = usual_times(name, record)
        return seconds * factor if name == "gather" and seconds else seconds

    return make_run(records or density_group()[:3], names, times=times, noise=noise, seed=seed)


def changed(run, change, name="gather"):
    """The same run with one implementation's cells changed."""
    units = tuple(
        replace(
            unit,
            cells=tuple(
                change(cell) if cell.implementation == name else cell for cell in unit.cells
            ),
        )
        for unit in run.units
    )
    return replace(run, units=units)


def slower_machine(run, factor, names=NAMES, phase=None):
    """The same run, in which all of these take so many times as long; in one phase, or in every one."""

    def longer(cell):
        if phase not in {None, cell.phase}:
            return cell
        processes = tuple(
            replace(
                samples,
                rounds=tuple(tuple(int(ns * factor) for ns in each) for each in samples.rounds),
            )
            for samples in cell.timing.processes
        )
        return replace(cell, timing=replace(cell.timing, processes=processes))

    for name in names:
        run = changed(run, longer, name)
    return run


def ended(status):
    return lambda cell: replace(
        cell, status=status, reason="why it ended", timing=None, verified="", work=None
    )


def verdicts(changes, name):
    return {cell.verdict for cell in changes.cells if cell.implementation == name}


def lock_step(factor, seed):
    """Both sides at once: their rounds pair."""
    base, head = made(seed=seed), made(factor, seed=seed + 1)
    return compare_runs(base, head, paired=True)


HARDLY = Noise(rounds=0.03, processes=0.01, count=6)
"""So much that a change of 2 % shows in few cells, and in all of them together."""


def noisy_lock_step(factor, seed):
    """Many cells, each of which is little known."""
    records = density_group()
    base, head = (
        made(own, seed=seed + number, noise=HARDLY, records=records)
        for number, own in enumerate((1.0, factor))
    )
    return compare_runs(base, head, paired=True)
