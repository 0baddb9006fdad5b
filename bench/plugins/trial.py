"""Runs a plug-in's code for the first time in a process that may die of it.

A plug-in that crashes, exits or hangs when it is imported would take the whole command with it; here
it takes a forked child, and the command says one line.
"""

import faulthandler
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

TIMEOUT = 120.0
POLL_SECONDS = 0.2
SURVIVED = b"survived"
LONGEST_NAME = 100
"""Of an exception, in bytes."""


def how_it_ends(work: Callable[[], object], timeout: float = TIMEOUT) -> str | None:
    """Say how a process ends that does some work, or return None where it survives.

    An exception counts as surviving, and so does leaving by sys.exit: whoever does the work again
    meets it again. Raising what no handler of exceptions keeps, such as KeyboardInterrupt, does not
    survive. The user's own Ctrl-C does not reach the process that tries the work.

    Args:
        work: what is tried; what it changes is lost.
        timeout: seconds for which it may take.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside other threads
        child = os.fork()
    if child == 0:
        os.close(reader)
        _try(work, writer)
    os.close(writer)
    try:
        return _outcome(child, reader, time.monotonic() + timeout, timeout)
    finally:
        os.close(reader)


def _try(work: Callable[[], object], writer: int) -> None:
    """Do the work, say that it was survived, and leave without running anything of the parent's."""
    try:
        os.setpgid(0, 0)
        faulthandler.disable()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        sys.stdout = sys.stderr = os.fdopen(quiet, "w")
        os.write(writer, _last_words(work))
    finally:
        os._exit(0)


def _last_words(work: Callable[[], object]) -> bytes:
    """Do the work; return that it was survived, or the name of what it raised."""
    try:
        work()
    except (Exception, SystemExit):  # noqa: BLE001  # a plug-in may raise anything
        return SURVIVED
    except BaseException as error:  # noqa: BLE001
        return type(error).__name__.encode()[:LONGEST_NAME]
    return SURVIVED


def _outcome(child: int, reader: int, end: float, timeout: float) -> str | None:
    """Wait for a child to survive, to die, or to take too long; none of it is left."""
    said, hangs = b"", False
    status: int | None = None
    try:
        while status is None and not (said or hangs):
            ended, found = os.waitpid(child, os.WNOHANG)
            status = found if ended else None
            if select.select([reader], [], [], 0 if ended else POLL_SECONDS)[0]:
                said = os.read(reader, LONGEST_NAME)
                if not said and not ended:
                    time.sleep(POLL_SECONDS)  # it closed what it was to say so with
            hangs = time.monotonic() > end
    finally:  # the user may have lost patience
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        if status is None:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if said:
        return None if said == SURVIVED else f"raises {said.decode(errors='replace')}"
    if status is None:
        return f"does not come back within {timeout:g} seconds"
    return ending(os.waitstatus_to_exitcode(status))


def ending(code: int) -> str:
    """Say how a process ended, by its exit status; a signal's is negative."""
    return f"is killed by {signal.Signals(-code).name}" if code < 0 else f"exits with status {code}"
