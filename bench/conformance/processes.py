"""Checks in a process of its own, and outlives it: what is checked may crash, exit or hang.

The process is a fresh one, and nothing here imports torch: only there may CUDA be opened.
"""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from bench.conformance.messages import EVENTS, Done, Event, Order, Record, Refused, Started
from bench.errors import UserError
from bench.fresh import interpreter
from bench.plugins.trial import ending

READY_TIMEOUT = 600.0
"""Importing for the first time may take minutes on a busy machine."""
ENDING_SECONDS = 10.0
"""For which a process may take to leave when all is said."""
STANDARD_ERROR = 2
START = """
import runpy
sys.path[:] = path
gc.enable()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


class LostError(Exception):
    """A process ended, or was ended, before it had said everything; the message says how."""


def outlived(
    module: str, order: Order, timeout: float, tell: Callable[[Started], None]
) -> Iterator[Record]:
    """Have a fresh process check, and yield how each case ended.

    Where it dies of a case, or shows no sign of life for some seconds, that case has failed; a new
    process goes on with the next implementation.

    Args:
        module: is run with the number of a descriptor, to which it writes events, and the order.
        order: what is to be checked.
        timeout: seconds without a sign of life.
        tell: called with each case that begins.

    Raises:
        UserError: if the process refuses the order, or is lost before the first case.
    """
    while True:
        at: Started | None = None
        try:
            for event in _events(module, order, timeout):
                if isinstance(event, Started):
                    at = event
                    tell(event)
                elif isinstance(event, Refused):
                    raise UserError(event.reason)
                elif isinstance(event, Record):
                    yield event
        except LostError as error:
            if at is None:
                raise UserError(f"the process that is to check {error}") from error
            reason = f"the process that checks it {error}; nothing after it was checked"
            yield Record(at.implementation, at.operator, at.case, at.dtype, "failed", reason)
            if at.number + 1 < at.count:
                order = msgspec.structs.replace(order, first=at.number + 1)
                continue
        return


def _events(module: str, order: Order, timeout: float) -> Iterator[Event]:
    """What a fresh process says until it is done.

    Raises:
        LostError: if it is not.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        try:
            process = subprocess.Popen(  # noqa: S603  # our own module
                [*interpreter(START), module, str(writer), msgspec.json.encode(order).decode()],
                pass_fds=[writer],
                stdout=STANDARD_ERROR,  # what is checked may print; our JSON goes to standard output
                process_group=0,  # with what it starts
            )
        finally:
            os.close(writer)
        try:
            for line in _lines(stream.fileno(), timeout):
                event = EVENTS.decode(line)
                yield event
                if isinstance(event, Done | Refused):
                    _status(process)  # it may have something to tidy up
                    return
            status = _status(process)
            raise LostError("closes its connection" if status is None else ending(status))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _status(process: "subprocess.Popen[bytes]") -> int | None:
    """The exit status of a process that is about to leave; None where it does not."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(ENDING_SECONDS)
    return None


def _lines(descriptor: int, timeout: float) -> Iterator[bytes]:
    """Whole lines, until the other end closes."""
    pending, patience = b"", max(timeout, READY_TIMEOUT)
    while select.select([descriptor], [], [], patience)[0]:
        received = os.read(descriptor, 1 << 16)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        yield from lines
        patience = timeout
    raise LostError(f"shows no sign of life for {patience:g} seconds")
