"""The workers of a Dask scheduler, told apart by the machine that each runs on.

Every worker that offers a `slot` gets a resource more, named after its machine, whether it is there
already or joins later: a pod or a job that replaces a lost one has another address, but is of
the same kind. Units ask for that resource. Only `sweep` imports this module, late: distributed
need not be installed.
"""

import asyncio
from typing import Any

import torch
from distributed import Client, Worker, WorkerPlugin

from bench.errors import UserError
from bench.machine import describe_machine

SLOT = "slot"
SEPARATOR = "/"


class Labelling(WorkerPlugin):
    """Adds the resource that names the machine to a worker.

    Args:
        device: that the workers measure.
        threads: of each.
    """

    name = "sparsebench-machine"

    def __init__(self, device: str, threads: int) -> None:
        self.device = device
        self.threads = threads

    async def setup(self, worker: Worker) -> None:
        """Find out what the machine is, without holding up the worker's heartbeat."""
        if worker.state.total_resources.get(SLOT):
            found = await asyncio.to_thread(_machine, self.device, self.threads)
            await worker.set_resources(**{_prefix(self.device, self.threads) + found: 1})


def label_workers(client: Client, device: str, threads: int) -> None:
    """Label the workers, those that join later included.

    Raises:
        UserError: if one of them cannot say what it is: this project may be missing there.
    """
    try:
        client.register_plugin(Labelling(device, threads))
    except Exception as error:  # whatever was raised there
        raise UserError(f"a worker cannot measure: {type(error).__name__}: {error}") from error


def addresses_by_label(client: Client, device: str, threads: int) -> dict[str, set[str]]:
    """Addresses of the workers that are there, by label."""
    prefix = _prefix(device, threads)
    found: dict[str, set[str]] = {}
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    for address, worker in workers.items():
        for resource in worker.get("resources", {}):
            if resource.startswith(prefix):
                found.setdefault(resource, set()).add(address)
    return found


def machine_in(label: str) -> str:
    """The machine's name."""
    return label.split(SEPARATOR, 3)[-1]


def _prefix(device: str, threads: int) -> str:
    return SEPARATOR.join(("sparsebench", device, str(threads), ""))


def _machine(device: str, threads: int) -> str:
    return describe_machine(torch.device(device), threads).name
