"""A sweep over the workers of a Dask scheduler on this machine, some of which are killed on the way."""

import signal
import subprocess
import sys
import threading

import pytest

distributed = pytest.importorskip("distributed")

from bench.cli.main import main  # noqa: E402
from bench.errors import UserError  # noqa: E402
from bench.fleet import measure_unit, sweep  # noqa: E402
from bench.registry import load_suite  # noqa: E402
from bench.results.schema import Status  # noqa: E402
from bench.results.store import load  # noqa: E402

NAMES = [workload.name for workload in load_suite("quick").workloads()[:4]]
PATTERN = "2d-submanifold*-1%,2d-submanifold*-5%"
OPTIONS = ("--impl=gather", "--phase=forward", "--seconds=0.02", "--processes=1")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def fleet():
    """A scheduler and four workers, each a process of its own; also what starts one more."""
    scheduler = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--port",
            "0",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    address = ""
    for line in scheduler.stderr:
        if "Scheduler at:" in line:
            address = line.rsplit(maxsplit=1)[-1]
            break
    threading.Thread(target=scheduler.stderr.read, daemon=True).start()
    workers = [worker(address) for _ in range(4)]
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def worker(address, *more):
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
    options = ["--resources", "slot=1", "--no-nanny", "--no-dashboard", *more]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for_workers(address, count):
    with distributed.Client(address, timeout="20s") as client:
        client.wait_for_workers(count, timeout=60)


def test_every_workload_is_measured_once_though_workers_are_lost(fleet, tmp_path):
    address, workers = fleet
    wait_for_workers(address, 4)
    told = []

    def tell(progress):
        told.append(progress)
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
    )
    run = load(path)
    assert [unit.workload.name for unit in run.units] == NAMES
    assert {cell.status for cell in run.cells} == {Status.OK}
    assert run.header.planned == tuple(NAMES)
    assert [progress.done for progress in told] == [1, 2, 3, 4]
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
        )
