"""Runs of two workloads, as plain data, and how they are refused."""

from dataclasses import replace
from functools import partial

import refusals

from bench.errors import DataError
from bench.phases import Phase
from bench.results.schema import (
    Cell,
    Header,
    Machine,
    Run,
    Samples,
    Settings,
    Status,
    Timing,
    Unit,
    Work,
    WorkloadRecord,
)

refusal = partial(refusals.refusal, kind=DataError)

SAMPLES = Samples(0, 4, ((2000, 2100), (1900,)), ((2500, 2600), (2400,)), (1,), "precise")
OK = Cell(
    workload="w0",
    workload_version="abc",
    implementation="dense",
    implementation_version="2.13",
    phase=Phase.FORWARD,
    dtype="float32",
    device="cpu",
    status=Status.OK,
    verified="dense",
    work=Work(10, 100, 1000),
    peak_bytes=4096,
    timing=Timing("perf_counter_ns", (SAMPLES, replace(SAMPLES, process=1))),
)
FAILED = replace(OK, implementation="gather", status=Status.ERROR, reason="boom", timing=None)


def unit(name="w0", dtype="float32", suite="quick", peak=4096):
    record = WorkloadRecord(
        name=name,
        version="abc",
        suite=suite,
        group="g",
        position=0.5,
        batch_size=2,
        grid_size=(4, 5),
        channels=3,
        output_channels=5,
        sites=20,
        density=0.5,
        output_sites=20,
        neighbours=1.5,
        definition={"seed": 0, "network": {"layers": [1, 2.5, None, "Größe"]}},
    )
    cells = [replace(c, workload=name, dtype=dtype, peak_bytes=peak) for c in (OK, FAILED)]
    return Unit(record, tuple(cells), {"wall": 1.25})


def header(machine="box", suites=("quick",), planned=("w0", "w1")):
    return Header(
        id="0123456789ab",
        started="2026-11-21T02:40:42+00:00",
        command=("sparsebench", "run", "quick"),
        commit="cb7721f24158",
        suites=suites,
        machine=Machine(machine, {"processor": "a"}, (), ("busy",)),
        settings=Settings(0.5, 0.005, 2, 1, 0, 120.0, (Phase.FORWARD,)),
        implementations=(),
        planned=planned,
    )


def run(*units, finished="2026-11-21T03:00:00+00:00", **fields):
    return Run(header(**fields), units or (unit(), unit("w1")), finished)


def names_in(folder):
    return [path.name for path in folder.iterdir()]
