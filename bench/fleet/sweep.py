"""A sweep: connect, hand out, write one run file for each kind of machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.fleet.dispatch import Dispatch
from bench.fleet.part import Part
from bench.fleet.unit import measure_unit
from bench.results.store import Journal

if TYPE_CHECKING:
    from distributed import Client, Future


def sweep(
    scheduler: str,
    suite: str,
    workloads: Sequence[str],
    options: Sequence[str],
    *,
    device: str,
    threads: int,
    target: Callable[[str], Path],
    patience: float,
    tell: Callable[[int, int, str], None] = lambda *_: None,
) -> list[Path]:
    """Measure every workload on every kind of machine among a scheduler's workers.

    Args:
        scheduler: address of the Dask scheduler.
        suite: source of the suite, found on the workers, too.
        workloads: names of the workloads.
        options: of `sparsebench run`, passed on.
        device: that the workers measure.
        threads: of each.
        target: makes the run file's path from a machine's name.
        patience: seconds for which a kind of machine may have no worker.
        tell: told after every unit how many are done, of how many, and which that was.

    Returns:
        One run file for each kind of machine.

    Raises:
        UserError: if there is no scheduler or no worker with a slot, or some units could not be
            measured; the others are kept.
    """
    with _connected(scheduler) as client:
        from bench.fleet.workers import (  # noqa: PLC0415  # needs distributed
            SLOT,
            addresses_by_label,
            label_workers,
            machine_in,
        )

        label_workers(client, device, threads)
        parts = [
            Part(Journal(target(machine_in(label))), label, machine_in(label), workloads)
            for label in sorted(addresses_by_label(client, device, threads))
        ]
        if not parts:
            raise UserError(
                "no worker offers a slot: start them with "
                f"`dask worker ADDRESS --nthreads 1 --resources {SLOT}=1`"
            )
        if not any(part.missing for part in parts):
            raise UserError(f"{parts[0].journal.target} exists; a run file is written once")

        def submit(label: str, name: str) -> "Future[Any]":
            resources = {SLOT: 1, label: 1}
            future: Future[Any] = client.submit(
                measure_unit, suite, name, tuple(options), resources=resources, pure=False
            )
            return future

        def look() -> dict[str, set[str]]:
            return addresses_by_label(client, device, threads)

        Dispatch(parts, submit, look, patience, tell).run()
        written = [part.finish() for part in parts if not part.missing]
        unfinished = [part.why_unfinished() for part in parts if part.missing]
        if unfinished:
            raise UserError(f"{'; '.join(unfinished)}; the same command continues")
        return written


def _connected(scheduler: str) -> "Client":
    try:
        from distributed import Client  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UserError(
            f"sweeps need {error.name}: python -m pip install -e '.[distributed]' in the checkout"
        ) from error
    try:
        return Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at {scheduler}: {error}") from error
