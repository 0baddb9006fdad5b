"""A sweep over the workers of a Dask scheduler on this machine, some of which are killed on the way."""

import importlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed")

from bench.cli.main import main  # noqa: E402
from bench.errors import UserError  # noqa: E402
from bench.fleet.sweep import sweep  # noqa: E402
from bench.fleet.unit import measure_unit  # noqa: E402
from bench.plugins.suites import load_suite  # noqa: E402
from bench.results.schema import Status  # noqa: E402
from bench.results.store import load  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = str(ROOT / "tests" / "plugins")
NAMES = [workload.name for workload in load_suite("quick").workloads()[:4]]
PATTERN = "2d-submanifold*-1%,2d-submanifold*-5%"
OPTIONS = ("--impl=gather", "--phase=forward", "--seconds=0.02", "--processes=1")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def scheduler():
    """Address of a scheduler."""
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--no-dashboard", "--host", "127.0.0.1"], stderr=subprocess.PIPE, text=True
    )
    address = next(
        line.rsplit(maxsplit=1)[-1] for line in process.stderr if "Scheduler at:" in line
    )
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def workers(scheduler):
    """Starts workers, and ends them."""
    started = []

    def start(*more):
        started.append(worker(scheduler, *more))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def fleet(scheduler, workers):
    """A scheduler and four workers, each a process of its own."""
    return scheduler, [workers() for _ in range(4)]


def worker(address, *more):
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
    options = ["--resources", "slot=1", "--no-nanny", "--no-dashboard", *more]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for_workers(address, count):
    with distributed.Client(address, timeout="600s") as client:
        client.wait_for_workers(count, timeout=600)


def test_every_workload_is_measured_once_though_workers_are_lost(fleet, tmp_path):
    address, workers = fleet
    wait_for_workers(address, 4)
    told = []

    def tell(done, *_):
        told.append(done)
        if len(told) in {1, 2}:
            workers[len(told)].send_signal(signal.SIGKILL)

    (path,) = sweep(
        address,
        "quick",
        NAMES,
        OPTIONS,
        device="cpu",
        threads=1,
        target=lambda _: tmp_path / "run.json",
        tell=tell,
        patience=60.0,
    )
    run = load(path)
    assert [unit.workload.name for unit in run.units] == NAMES
    assert {cell.status for cell in run.cells} == {Status.OK}
    assert run.header.planned == tuple(NAMES)
    assert told == [1, 2, 3, 4]
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture
def _pretended_units(monkeypatch):
    """Measure nothing, here and in the scheduler and workers that are started after this."""
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", f"{PLUGINS}{os.pathsep}{ROOT}")
    pretended = importlib.import_module("pretended_unit")
    monkeypatch.setattr("bench.fleet.sweep.measure_unit", pretended.measure_unit)


@pytest.mark.usefixtures("_pretended_units", "scheduler")
def test_ten_sweeps_lose_two_of_four_workers_each_and_no_unit(scheduler, workers, tmp_path):
    """Units are pretended; scheduler, workers and kills are real."""
    names = [f"w{number}" for number in range(16)]
    alive = [workers() for _ in range(4)]
    for number in range(10):
        wait_for_workers(scheduler, 4)
        doomed = random.Random(number).sample(alive, 2)  # noqa: S311
        told = []

        def tell(done, *_, doomed=doomed, told=told):
            told.append(done)
            if len(told) in {2, 5}:
                doomed[len(told) // 5].send_signal(signal.SIGKILL)

        (path,) = sweep(
            scheduler,
            "quick",
            names,
            (),
            device="cpu",
            threads=1,
            target=lambda _, number=number: tmp_path / f"run-{number}.json",
            tell=tell,
            patience=3600.0,
        )
        assert [unit.workload.name for unit in load(path).units] == names
        assert told == list(range(1, 17))
        alive = [each for each in alive if each not in doomed] + [workers(), workers()]
    assert not list(tmp_path.glob("*.partial"))


def test_the_command_sweeps_and_goes_on_with_what_is_unfinished(fleet, tmp_path, capsys):
    address, _ = fleet
    wait_for_workers(address, 1)
    folder = tmp_path / "sweep"
    command = ["run", "quick", "--scheduler", address, "--workload", PATTERN, *OPTIONS]
    assert main([*command, "-o", str(folder)]) == 0
    (path,) = folder.glob("*.json")
    whole = load(path)
    path.rename(tmp_path / "kept.json")
    assert len(whole.units) == 2
    # As if it had been stopped after one unit.
    from bench.results.store import Journal  # noqa: PLC0415

    journal = Journal(path)
    journal.begin(whole.header)
    for unit in whole.units[:1]:
        journal.add(unit)
    assert main([*command, "-o", str(folder)]) == 0
    resumed = load(path)
    assert resumed.units[:1] == whole.units[:1]
    assert [unit.workload.name for unit in resumed.units] == NAMES[:2]
    assert main([*command, "-o", str(folder)]) == 2
    assert "written once" in capsys.readouterr().err


def swept(address, folder, patience, tell=lambda *_: None):
    return sweep(
        address,
        "quick",
        NAMES[:3],
        OPTIONS,
        device="cpu",
        threads=1,
        target=lambda _: folder / "run.json",
        tell=tell,
        patience=patience,
    )


def test_without_workers_a_sweep_ends_after_a_while_and_goes_on_later(scheduler, workers, tmp_path):
    only = workers()
    wait_for_workers(scheduler, 1)
    with pytest.raises(UserError) as ended:
        swept(scheduler, tmp_path, 3.0, lambda *_: only.send_signal(signal.SIGKILL))
    assert "no worker of this kind was available for 3 seconds" in str(ended.value)
    assert f"1 of 3 workloads are kept in {tmp_path / 'run.json.partial'}" in str(ended.value)
    kept = load(tmp_path / "run.json.partial").units
    assert [unit.workload.name for unit in kept] == NAMES[:1]
    workers()
    wait_for_workers(scheduler, 1)
    (path,) = swept(scheduler, tmp_path, 60.0)
    assert load(path).units[:1] == kept
    assert [unit.workload.name for unit in load(path).units] == NAMES[:3]


def test_a_worker_that_joins_later_at_another_address_takes_over(scheduler, workers, tmp_path):
    first = workers()
    wait_for_workers(scheduler, 1)

    def replace_it(done, *_):
        if done == 1:
            first.send_signal(signal.SIGKILL)
            first.wait()
            workers("--host", "127.0.0.2")

    (path,) = swept(scheduler, tmp_path, 3600.0, replace_it)
    assert [unit.workload.name for unit in load(path).units] == NAMES[:3]


def test_mistakes_are_one_line(tmp_path, capsys):
    with pytest.raises(UserError, match="no Dask scheduler answers"):
        sweep(
            "tcp://127.0.0.1:1",
            "quick",
            NAMES,
            (),
            device="cpu",
            threads=1,
            target=lambda _: tmp_path,
            patience=1.0,
        )
    with pytest.raises(UserError, match="no-such"):
        measure_unit("quick", NAMES[0], ["--impl", "no-such"])
    assert main(["run", "quick", "--scheduler", "tcp://x", "--device", "auto"]) == 2
    assert "--device cpu or cuda" in capsys.readouterr().err


def test_workers_without_a_slot_are_left_alone(tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=None, threads_per_worker=1
        ) as cluster,
        pytest.raises(UserError, match="no worker offers a slot"),
    ):
        sweep(
            cluster.scheduler_address,
            "quick",
            NAMES,
            (),
            device="cpu",
            threads=1,
            target=lambda _: tmp_path / "run.json",
            patience=1.0,
        )
