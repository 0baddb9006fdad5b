"""A worker process: takes one order, carries it out, and tells the engine as it goes.

Nothing here knows what becomes of the events. A crash ends this process and nobody else's samples.
"""

import os
from pathlib import Path
from typing import BinaryIO

import msgspec
import torch
from threadpoolctl import threadpool_limits

from bench.dtypes import products_in
from bench.errors import MissingDataError, UserError
from bench.machine import thread_pools
from bench.measure.description import describe_implementation
from bench.measure.failures import why_unavailable
from bench.measure.gpu_clock import clock_in_words
from bench.measure.measurement import Measurement
from bench.measure.memory import keep_freed_memory, limit_memory
from bench.measure.messages import (
    ORDERS,
    Done,
    Event,
    Failed,
    Loaded,
    Rates,
    RateTask,
    Refused,
    Surroundings,
    Task,
)
from bench.measure.pulse import NOBODY, Pulse
from bench.measure.rates import machine_rates
from bench.plugins.implementations import load
from bench.results.schema import Status


def serve(stream: BinaryIO) -> None:
    """Take one order from a stream, carry it out, write events to the same stream."""
    order = ORDERS.decode(stream.readline())
    _redirect_output(order.log)

    def tell(event: Event) -> None:
        stream.write(msgspec.json.encode(event) + b"\n")
        stream.flush()

    if isinstance(order, Task) and order.processors:
        os.sched_setaffinity(0, order.processors)
    torch.set_num_threads(order.threads)
    torch.manual_seed(0)
    # Nobody rounds float32 to TF32's ten bits unasked: by default, cuDNN would, and cuBLAS would not.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = True  # dense is to have the fastest algorithm for its shapes
    device = torch.device(order.device)
    if device.type == "cpu":
        limit_memory()
    elif device.index is not None:
        torch.cuda.set_device(device)  # events and streams that name no device mean this one
    keeps_memory = keep_freed_memory()
    with threadpool_limits(order.threads):
        if isinstance(order, RateTask):
            if order.dtypes:  # before a plug-in can disturb them
                tell(Rates(machine_rates(order.dtypes, device), clock_in_words(device)))
            loaded, unavailable = _asked(order)
            threadpool_limits(order.threads)
            tell(Surroundings(unavailable, keeps_memory, thread_pools(), loaded))
            tell(Done({}))
            return
        try:
            with products_in(order.dtype):
                Measurement(order, tell, stream.fileno()).run()
        except MissingDataError as error:
            for reference in order.implementations:
                tell(Failed(reference.name, order.phases, Status.UNAVAILABLE, str(error)))
            tell(Done({}))
        except UserError as error:
            tell(Refused(str(error)))


def _asked(order: RateTask) -> tuple[dict[str, Loaded], dict[str, str]]:
    """Ask every implementation what it is and why it cannot run here, which loads its library."""
    pulse = Pulse(Path(order.pulse))
    loaded: dict[str, Loaded] = {}
    reasons: dict[str, str] = {}
    for number, reference in enumerate(order.implementations):
        pulse.beat(number, NOBODY)
        implementation = load(reference)
        loaded[reference.name] = describe_implementation(reference, implementation)
        reason = why_unavailable(implementation, torch.device(order.device))
        if reason is not None:
            reasons[reference.name] = reason
    pulse.beat(NOBODY, NOBODY)
    return loaded, reasons


def _redirect_output(log: str) -> None:
    """Send what plug-ins print to the log, so that it cannot disturb what the command prints."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def main(descriptor: int) -> None:
    """Serve one order on an inherited socket."""
    # A process that a plug-in forks and leaves behind may not keep the connection open.
    os.register_at_fork(after_in_child=lambda: os.close(descriptor))
    # It stays open until this process has left: who sees it closed ends what is still there.
    serve(os.fdopen(descriptor, "r+b", buffering=0, closefd=False))
