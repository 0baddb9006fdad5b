"""The engine's side of worker processes: start them, hear them, outlive them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from bench.errors import UserError
from bench.fresh import interpreter
from bench.measure.messages import EVENTS, Done, Event, Order, Preparation, Refused
from bench.measure.pulse import NOBODY, Pulse
from bench.plugins import Reference, suite_modules

POLL_SECONDS = 0.2
ASKS_NVML = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Has torch find out whether there is a GPU without opening CUDA, which a template must not do."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PRELOADED = "torch.fx.experimental.symbolic_shapes"
"""What torch imports at the first gradient, for half a second: done once, before workers fork."""
START_CHECKOUT = (
    "import gc, runpy; gc.disable(); "
    "runpy.run_module('bench.measure.template', run_name='__main__', alter_sys=True)"
)
"""Of another checkout, which is found by PYTHONPATH alone."""
START = "from bench.measure import template; sys.path[:] = path; template.main()"
USUAL_PROCESSES = 3
READY_TIMEOUT = 600.0
"""Importing and compiling for the first time may take minutes on a busy machine; no more than these."""
LONGEST_WORDS_BYTES = 2**20


class WorkerLostError(Exception):
    """A worker died or fell silent.

    Attributes:
        implementation: number of the implementation at work, or -1.
        phase: number of the phase at work, or -1.
        silent: whether it was killed for showing no sign of life.
    """

    def __init__(self, message: str, implementation: int, phase: int, *, silent: bool) -> None:
        super().__init__(message)
        self.implementation = implementation
        self.phase = phase
        self.silent = silent


class Templates:
    """Freshly executed processes that workers are forked from; close it to end them.

    They import torch and the suite by themselves, and this module imports neither: started first
    thing, they get ready while the command does.

    Args:
        suite: source of the suite to be measured.
        threads: of torch, OpenMP, OpenBLAS and MKL in each worker.
        processes: that will measure a workload, as far as is known. There is a template for each, but
            there are no more templates than processors.
        checkout: root of another checkout of this project, whose code the workers run.
        count: of templates, in place of what follows from `processes`.

    Raises:
        UserError: if there is no such suite.
    """

    def __init__(
        self,
        suite: str,
        threads: int,
        processes: int | None = None,
        *,
        checkout: Path | None = None,
        count: int | None = None,
    ) -> None:
        modules = (PRELOADED, *suite_modules(suite))
        self.folder = tempfile.TemporaryDirectory(prefix="sparsebench-")
        self.log = Path(self.folder.name) / "worker.log"
        pulse = Path(self.folder.name) / "pulse"
        self.pulse = Pulse.create(pulse)
        self.pulse_path = str(pulse)
        self.expectation_path = str(Path(self.folder.name) / "expectation")
        environment = os.environ | ASKS_NVML | dict.fromkeys(THREAD_VARIABLES, str(threads))
        # One for each process would be best, but they start at the same time, a second and more of
        # importing each: no more than there are processors.
        count = count or min(processes or USUAL_PROCESSES, os.cpu_count() or 1)
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout)
        self._start = partial(_Template, environment, modules, self.log, checkout)
        self._templates = [self._start() for _ in range(count)]
        self._suite = suite
        self._is_closed = False
        self._prepared: dict[str, set[Reference]] = {}

    def close(self) -> None:
        """End every process, also while another thread waits for one; a second time changes nothing."""
        self._is_closed = True
        for template in self._templates:
            template.close()
        self.pulse.close()
        self.folder.cleanup()

    def wait_until_ready(self) -> None:
        """Wait until every template has imported what workers need.

        Raises:
            UserError: if one cannot start.
        """
        for number in range(len(self._templates)):
            self._ready(number)

    def _ready(self, number: int) -> "_Template":
        """Wait for a template; if preparing kills it or hangs, start another that prepares nothing.

        The workers of that one load everything for themselves, so that it shows whose code is at fault.
        """
        try:
            self._templates[number].wait_until_ready()
        except UserError:
            if self._is_closed or not self._templates[number].prepares:
                raise
            self._templates[number].close()
            self._templates[number] = self._start()
            self._templates[number].wait_until_ready()
        return self._templates[number]

    def prepare(self, preparation: Preparation, *, one_first: bool = False) -> None:
        """Have every template prepare installed implementations, so that no worker need do it.

        Returns before they are ready; nothing is prepared twice. Plug-in files are left to the workers,
        so that one that crashes takes only its own worker with it.

        Args:
            preparation: what for.
            one_first: wait for one of them, which compiles what all others then load.

        Raises:
            UserError: if that one cannot start.
        """
        known = self._prepared.setdefault(preparation.device, set())
        new = [each for each in preparation.implementations if not each.is_file]
        new = [each for each in new if each not in known]
        if new:
            known.update(new)
            for number, template in enumerate(self._templates):
                template.prepare(Preparation(tuple(new), preparation.device, self._suite))
                if one_first and number == 0:
                    template.wait_until_ready()

    def run(self, process: int, order: Order, timeout: float) -> Iterator[Event]:
        """Have a fresh worker carry out an order, and yield what it says until it is done.

        Raises:
            WorkerLostError: if it dies or shows no sign of life for `timeout` seconds.
            UserError: if it refuses the order.
        """
        self.log.write_bytes(b"")
        self.pulse.beat(NOBODY, NOBODY)
        template = self._ready(process % len(self._templates))
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                child = template.fork(theirs)
            finished = False
            try:
                ours.sendall(msgspec.json.encode(order) + b"\n")
                for line in self._lines(ours, timeout):
                    event = EVENTS.decode(line)
                    if isinstance(event, Refused):
                        raise UserError(event.reason)
                    yield event
                    if isinstance(event, Done):
                        finished = True
                        break
            except _SilentError:
                _kill(child)
                _, implementation, phase = self.pulse.read()
                message = f"no sign of life for {timeout:g} seconds"
                raise WorkerLostError(message, implementation, phase, silent=True) from None
            finally:
                if not finished:
                    _kill(child)
                status = template.wait(child)
        if not finished:
            _, implementation, phase = self.pulse.read()
            raise WorkerLostError(self._last_words(status), implementation, phase, silent=False)

    def _lines(self, connection: socket.socket, timeout: float) -> Iterator[bytes]:
        """Whole lines, until the other end closes."""
        connection.settimeout(POLL_SECONDS)
        pending = b""
        count, since = self.pulse.read()[0], time.monotonic()
        while True:
            try:
                received = connection.recv(1 << 20)
            except TimeoutError:
                beats = self.pulse.read()[0]
                if beats != count:
                    count, since = beats, time.monotonic()
                elif time.monotonic() - since > timeout:
                    raise _SilentError from None
                continue
            except ConnectionResetError:
                return
            if not received:
                return
            since = time.monotonic()
            *lines, pending = (pending + received).split(b"\n")
            yield from lines

    def _last_words(self, status: int) -> str:
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        if status == -signal.SIGKILL:  # by the system, or by us after its connection ended
            how += ", as when memory runs out or it closed its connection"
        log = _last_lines(self.log)
        words = next((line for line in log if line.startswith("Fatal Python error")), None)
        words = words or (log[-1] if log else "")
        return f"the worker process ended: {how}" + (f"; {words[:200]}" if words else "")


class _SilentError(Exception):
    """No sign of life."""


class _Template:
    """One process that forks on request."""

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
        self.control.settimeout(READY_TIMEOUT)
        while self.awaited:
            self._receive()
            self.awaited -= 1
        self.control.settimeout(None)

    def prepare(self, preparation: Preparation) -> None:
        self.awaited += 1
        self.prepares = True
        with suppress(BrokenPipeError):  # waiting will say why
            self.control.sendall(b"prepare " + msgspec.json.encode(preparation) + b"\n")

    def fork(self, connection: socket.socket) -> int:
        self.wait_until_ready()
        with suppress(BrokenPipeError):  # receiving will say why
            socket.send_fds(self.control, [b"fork\n"], [connection.fileno()])
        return int(self._receive())

    def wait(self, child: int) -> int:
        with suppress(BrokenPipeError):  # receiving will say why
            self.control.sendall(f"wait {child}\n".encode())
        return int(self._receive())

    def _receive(self) -> bytes:
        while b"\n" not in self.received:
            try:
                more = self.control.recv(64)
            except (ConnectionResetError, TimeoutError):  # it died with a message unread, or hangs
                more = b""
            if not more:
                words = _last_lines(self.log)[-1:] or ["what forks them has ended"]
                raise UserError(f"worker processes cannot start: {''.join(words)}")
            self.received += more
        answer, _, self.received = self.received.partition(b"\n")
        return answer

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()


def _last_lines(log: Path) -> list[str]:
    """The end of a log, which a plug-in may have made very long."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LONGEST_WORDS_BYTES))
        return stream.read().decode(errors="replace").strip().splitlines()


def _kill(process: int) -> None:
    """End a worker that will not end by itself; it may have just done so."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
