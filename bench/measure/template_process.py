"""The engine's side of one template: start it, have it prepare and fork, and notice when it ends."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.errors import UserError
from bench.fresh import interpreter
from bench.measure.messages import Preparation

START_CHECKOUT = (
    "import gc, runpy; gc.disable(); "
    "runpy.run_module('bench.measure.template', run_name='__main__', alter_sys=True)"
)
"""Of another checkout, which is found by PYTHONPATH alone."""
START = "from bench.measure import template; sys.path[:] = path; template.main()"
READY_TIMEOUT = 600.0
"""Importing and compiling for the first time may take minutes on a busy machine; no more than these."""
LONGEST_WORDS_BYTES = 2**20
ENDING_SECONDS = 10.0
"""How long a process that closed its connection may take to end."""


class TemplateLostError(UserError):
    """A template that was ready has been killed, as when memory runs out."""


class Template:
    """One process that forks on request.

    Args:
        environment: variables.
        modules: what it imports.
        log: where it and its workers print.
        folder: another checkout of this project, whose code it runs.
    """

    def __init__(
        self,
        environment: dict[str, str],
        modules: tuple[str, ...],
        log: Path,
        folder: Path | None,
    ) -> None:
        self.control, theirs = socket.socketpair()
        # -P: whatever lies in the working directory is no module of ours.
        other = [sys.executable, "-P", "-c", START_CHECKOUT]
        start = interpreter(START) if folder is None else other
        with theirs, log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  # our own module
                [*start, str(theirs.fileno()), *modules],
                env=environment,
                cwd=folder,
                pass_fds=[theirs.fileno()],
                process_group=0 if os.name == "posix" else None,  # Ctrl-C is this process's to hear
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.log = log
        self.received = b""
        self.awaited = 1  # the first `ready`
        self.prepares = False

    def wait_until_ready(self) -> None:
        """Wait until it has imported and prepared everything.

        Raises:
            UserError: if it ends before, or takes too long.
        """
        self.control.settimeout(READY_TIMEOUT)
        while self.awaited:
            self._receive()
            self.awaited -= 1
        self.control.settimeout(None)

    def prepare(self, preparation: Preparation) -> None:
        """Have it prepare implementations, without waiting for them."""
        self.awaited += 1
        self.prepares = True
        with suppress(BrokenPipeError):  # waiting will say why
            self.control.sendall(b"prepare " + msgspec.json.encode(preparation) + b"\n")

    def fork(self, connection: socket.socket) -> int:
        """Have it fork a worker with a connection; return the worker's process number.

        Raises:
            TemplateLostError: if it was killed since it was ready.
            UserError: if it ended otherwise, and what it said.
        """
        self.wait_until_ready()
        with suppress(BrokenPipeError):  # receiving will say why
            socket.send_fds(self.control, [b"fork\n"], [connection.fileno()])
        return int(self._receive())

    def wait(self, child: int) -> int:
        """Wait for the end of a worker; return its exit status. It raises what `fork` does."""
        with suppress(BrokenPipeError):  # receiving will say why
            self.control.sendall(f"wait {child}\n".encode())
        return int(self._receive())

    def _receive(self) -> bytes:
        while b"\n" not in self.received:
            try:
                more = self.control.recv(64)
            except TimeoutError:  # it hangs
                raise self._lost(None) from None
            except ConnectionResetError:  # it died with a message unread
                more = b""
            if not more:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(ENDING_SECONDS)
                raise self._lost(self.process.returncode)
            self.received += more
        answer, _, self.received = self.received.partition(b"\n")
        return answer

    def _lost(self, status: int | None) -> UserError:
        """What to say of one that says nothing any more."""
        ended, is_killed = "what forks them has ended", False
        if status is not None and status < 0:
            ended, is_killed = f"{ended}, {killed_by(status)}", True
        if is_killed and not self.awaited:
            return TemplateLostError(f"worker processes cannot start: {ended}")
        words = last_lines(self.log)[-1:] or [ended]
        return UserError(f"worker processes cannot start: {''.join(words)}")

    def close(self) -> None:
        """End it, and with it, on Linux, its workers."""
        self.control.close()
        self.process.kill()
        self.process.wait()


def killed_by(status: int) -> str:
    """How a process ended whose status is negative, in words."""
    return f"killed by {signal.Signals(-status).name}"


def last_lines(log: Path) -> list[str]:
    """The end of a log, which a plug-in may have made very long."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LONGEST_WORDS_BYTES))
        return stream.read().decode(errors="replace").strip().splitlines()
