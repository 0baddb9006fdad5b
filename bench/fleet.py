"""A sweep over many machines, through Dask distributed: whoever runs its workers lends machines.

The unit is one workload with all implementations. A Dask worker takes one at a time (its resource
`slot`), runs it as a command of its own in the environment that the worker has (so that
`CUDA_VISIBLE_DEVICES` or `taskset` pin it), and sends the run file back. Machines are kept apart by
what they are: every kind measures the whole plan and gets a run file of its own. A unit whose
worker is lost runs again elsewhere on the same kind; what arrives first counts, once.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.results.schema import Run
from bench.results.store import Journal, decode

SLOT = "slot"


@dataclass(frozen=True)
class FleetProgress:
    """How far a fleet has come: units done, of how many, and the last one's workload and machine."""

    done: int
    total: int
    workload: str
    machine: str


def machine_of(device: str, threads: int) -> str:
    """Name of the machine that this runs on; called on a worker."""
    import torch  # noqa: PLC0415

    from bench.machine import describe_machine  # noqa: PLC0415

    return describe_machine(torch.device(device), threads).name


def measure_unit(suite: str, workload: str, options: Sequence[str]) -> bytes:
    """Run one workload as a command and return its run file; called on a worker.

    Raises:
        UserError: if the command refuses.
    """
    with tempfile.TemporaryDirectory(prefix="sparsebench-unit-") as folder:
        target = Path(folder) / "unit.json"
        exact = re.sub(r"([*?[])", r"[\1]", workload)
        command = [sys.executable, "-m", "bench", "run", suite, "--workload", exact, "--wait"]
        done = subprocess.run(  # noqa: S603  # our own command
            [*command, *options, "-o", str(target)], capture_output=True, text=True, check=False
        )
        if not target.exists():
            words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"{workload}: {words[-1]}")
        return target.read_bytes()


def sweep(
    scheduler: str,
    suite: str,
    workloads: Sequence[str],
    options: Sequence[str],
    *,
    device: str,
    threads: int,
    target: Callable[[str], Path],
    tell: Callable[[FleetProgress], None] | None = None,
) -> list[Path]:
    """Measure every workload on every kind of machine among a scheduler's workers.

    Args:
        scheduler: address of the Dask scheduler.
        suite: name of the suite, installed on the workers.
        workloads: names of the workloads.
        options: of `sparsebench run`, passed on.
        device: that the workers measure.
        threads: of each.
        target: makes the run file's path from a machine's name.
        tell: told after every unit.

    Returns:
        One run file for each kind of machine.

    Raises:
        UserError: if there is no scheduler, no worker with a free slot, or a worker refuses.
    """
    try:
        from distributed import Client, as_completed  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"sweeps need {error.name}: python -m pip install 'sparsebench[distributed]'"
        ) from error
    try:
        client = Client(scheduler, timeout="10s")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        fleets = [
            _Fleet(Journal(target(kind)), kind, hosts, workloads)
            for kind, hosts in _kinds(client, device, threads).items()
        ]
        waiting = {
            client.submit(
                measure_unit,
                suite,
                name,
                tuple(options),
                workers=fleet.hosts,
                resources={SLOT: 1},
                pure=False,
            ): (fleet, name)
            for fleet in fleets
            for name in fleet.missing
        }
        done, total = len(fleets) * len(workloads) - len(waiting), len(fleets) * len(workloads)
        for future in as_completed(waiting):  # type: ignore[no-untyped-call]
            fleet, name = waiting[future]
            fleet.keep(_result(future, name))
            done += 1
            if tell is not None:
                tell(FleetProgress(done, total, name, fleet.kind))
        return [fleet.finish() for fleet in fleets]


class _Fleet:
    """All workers on one kind of machine, and what they measured; goes on with a journal that is there.

    Raises:
        UserError: if the run file exists, or the journal is of other workloads.
    """

    def __init__(
        self, journal: Journal, kind: str, hosts: list[str], workloads: Sequence[str]
    ) -> None:
        self.journal = journal
        self.kind = kind
        self.hosts = hosts
        self._workloads = tuple(workloads)
        self._begun = journal.path.exists()
        if not self._begun:
            journal.check()
        elif journal.read().header.planned != self._workloads:
            raise UserError(f"{journal.path} holds an unfinished sweep of other workloads: move it")

    @property
    def missing(self) -> list[str]:
        """Workloads that are not measured yet."""
        found = {unit.workload.name for unit in self.journal.read().units} if self._begun else set()
        return [name for name in self._workloads if name not in found]

    def keep(self, run: Run) -> None:
        """Keep what came back of one workload."""
        if not self._begun:
            command = ("sparsebench", *sys.argv[1:])
            self.journal.begin(replace(run.header, command=command, planned=self._workloads))
            self._begun = True
        for unit in run.units:
            self.journal.add(unit)

    def finish(self) -> Path:
        """Write the run file, its units in the order of the plan."""
        run = self.journal.read()
        units = sorted(run.units, key=lambda unit: self._workloads.index(unit.workload.name))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return self.journal.finish(Run(run.header, tuple(units), finished=now))


def _kinds(client: Any, device: str, threads: int) -> dict[str, list[str]]:  # noqa: ANN401
    """Hosts of the workers that have slots, by what their machine is.

    Raises:
        UserError: if there are none, or this project is missing there.
    """
    able = [
        address
        for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
        if worker.get("resources", {}).get(SLOT)
    ]
    if not able:
        raise UserError(
            "no worker offers a slot: start them with "
            "`dask worker ADDRESS --nthreads 1 --resources slot=1`"
        )
    found = client.run(machine_of, device, threads, workers=able, on_error="return")
    kinds: dict[str, list[str]] = {}
    for address, name in found.items():
        if isinstance(name, BaseException):
            raise UserError(f"worker {address} cannot measure: {name}")
        kinds.setdefault(name, []).append(address)
    hosts = {kind: {_host(each) for each in addresses} for kind, addresses in kinds.items()}
    shared = {
        host
        for host in set().union(*hosts.values())
        if sum(host in own for own in hosts.values()) > 1
    }
    # A worker that is restarted has another port. Where a host's workers differ (several GPUs), ports
    # tell them apart nevertheless.
    return {
        kind: sorted({each if _host(each) in shared else _host(each) for each in addresses})
        for kind, addresses in kinds.items()
    }


def _host(address: str) -> str:
    return address.rpartition("//")[2].rpartition(":")[0].strip("[]")


def _result(future: Any, name: str) -> Run:  # noqa: ANN401
    try:
        content = future.result()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} could not be measured: {error}") from error
    return decode(content, name)
