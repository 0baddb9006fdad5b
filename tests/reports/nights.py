"""An archive of nightly runs, made up, in which one implementation becomes slower."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from synthetic_runs import Noise, make_run, workload

from bench.history.archive import Archive
from bench.phases import Phase
from bench.results.store import write

RECORDS = [workload("layer-a", 0.1), workload("layer-b", 0.2)]
FEW = Noise(rounds=0.002, processes=0.002, count=2, length=4)
START = datetime(2026, 1, 1, tzinfo=UTC)
SLOW_FROM = 8


def commit(number):
    """The commit of a night: its number, and zeros."""
    return f"{number:02x}".ljust(40, "0")


def nightly(number, *, factor=1.0, records=RECORDS, names=("dense", "gather")):
    """The run of one night; gather is slower by a factor."""

    def times(name, record):
        return 1e-3 * (factor if name == "gather" else 1.0)

    run = make_run(records, names, times=times, phases=(Phase.FORWARD,), noise=FEW, seed=number)
    started = (START + timedelta(days=number)).isoformat()
    return replace(
        run,
        header=replace(run.header, id=f"{number:012x}", started=started, commit=commit(number)),
    )


def saved(run, folder):
    path = folder / f"{run.header.id}.json"
    write(run, path)
    return path


def fill(place, source):
    """Archive twelve nights, gather being 20 % slower from the ninth on."""
    source.mkdir()
    archive = Archive(str(place))
    for number in range(12):
        archive.add(saved(nightly(number, factor=1.2 if number >= SLOW_FROM else 1.0), source))
    return place
