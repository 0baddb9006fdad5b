"""An archive of nightly runs, made up, in which one implementation becomes slower."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bench.history.archive import Archive
from bench.phases import Phase
from bench.results.store import write
from tests.reports.synthetic_runs import Noise, at_commits, make_run, workload

RECORDS = [workload("layer-a", 0.1), workload("layer-b", 0.2)]
FEW = Noise(rounds=0.002, processes=0.002, count=2, length=4)
START = datetime(2026, 1, 1, tzinfo=UTC)
SLOW_FROM = 8


def commit(number):
    """The commit of a night: its number, and zeros."""
    return f"{number:02x}".ljust(40, "0")


def nightly(
    number, *, factor=1.0, others=1.0, records=RECORDS, names=("dense", "gather"), commits=None
):
    """The run of one night; gather is slower by a factor.

    Args:
        number: of the night.
        factor: of gather's times.
        others: factor of the others' times.
        records: of workloads.
        names: of implementations.
        commits: by implementation, of the repository of its own that it lies in.
    """

    def times(name, record):
        return 1e-3 * (factor if name == "gather" else others)

    run = make_run(records, names, times=times, phases=(Phase.FORWARD,), noise=FEW, seed=number)
    started = (START + timedelta(days=number)).isoformat()
    header = replace(run.header, id=f"{number:012x}", started=started, commit=commit(number))
    return at_commits(replace(run, header=header), commits or {})


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
