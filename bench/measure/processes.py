"""The engine's side of worker processes: start them, hear them, outlive them.

The engine (`sparsebench run`) executes templates (`template.py`), which import what all need and fork a
worker (`worker.py`) for each order. The worker answers on a socket of its own, and marks in a file that
all map (`pulse.py`) who is at work. How an order may end, and who is held responsible:

    ============================  =======================================  ==========================
    what the engine sees          what happened                            who is held responsible
    ============================  =======================================  ==========================
    `Done`                        all was measured, or failed by itself    nobody
    `Refused`                     it cannot be done                        the user, in one line
    end of the socket             the worker died, or closed it            whoever was at work
    no beat for `timeout`         the worker hangs, and is killed          whoever was at work
    end of the template's socket  the template was killed, and its worker  nobody; another is started
    ============================  =======================================  ==========================
"""

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import msgspec

from bench.errors import UserError
from bench.measure.messages import EVENTS, Done, Event, Order, Preparation, Refused
from bench.measure.pulse import NOBODY, Pulse
from bench.measure.template_process import Template, TemplateLostError, killed_by, last_lines
from bench.plugins.installed import Reference, suite_modules
from bench.temporary import TemporaryFolder

POLL_SECONDS = 0.2
ASKS_NVML = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Has torch find out whether there is a GPU without opening CUDA, which a template must not do."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)
PRELOADED = "torch.fx.experimental.symbolic_shapes"
"""What torch imports at the first gradient, for half a second: done once, before workers fork."""
USUAL_PROCESSES = 3
MOST_KILLED = 3
"""Templates that are killed, with no order carried out between them, before there is no other."""


class WorkerLostError(Exception):
    """A worker died or fell silent.

    Attributes:
        implementation: number of the implementation at work, or -1.
        phase: number of the phase at work, or -1.
        silent: whether it was killed for showing no sign of life.
        with_template: whether what it was forked from was killed, and it died of that: another is
            there, and nobody to blame.
    """

    def __init__(
        self,
        message: str,
        implementation: int,
        phase: int,
        *,
        silent: bool,
        with_template: bool = False,
    ) -> None:
        super().__init__(message)
        self.implementation = implementation
        self.phase = phase
        self.silent = silent
        self.with_template = with_template


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
        more: environment of theirs besides.

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
        more: Mapping[str, str] | None = None,
    ) -> None:
        modules = (PRELOADED, *suite_modules(suite))
        environment = os.environ | ASKS_NVML | dict.fromkeys(THREAD_VARIABLES, str(threads))
        environment |= more or {}
        # One for each process would be best, but they start at the same time, a second and more of
        # importing each: no more than there are processors.
        count = count or min(processes or USUAL_PROCESSES, os.cpu_count() or 1)
        if checkout is not None:
            environment["PYTHONPATH"] = str(checkout)
        self._suite = suite
        self._is_closed = False
        self._prepared: dict[str, set[Reference]] = {}
        self._preparations: list[Preparation] = []
        self._killed = 0
        self._templates: list[Template] = []
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryFolder("sparsebench-"))
            self.log = folder / "worker.log"
            self.expectation_path = str(folder / "expectation")
            self.pulse_path = str(folder / "pulse")
            self.pulse = stack.enter_context(closing(Pulse.create(folder / "pulse")))
            stack.callback(self._end_templates)
            self._start = partial(Template, environment, modules, self.log, checkout)
            for _ in range(count):
                self._templates.append(self._start())
            self._held = stack.pop_all()

    def close(self) -> None:
        """End every process, also while another thread waits for one; a second time changes nothing."""
        self._is_closed = True
        self._held.close()

    def _end_templates(self) -> None:
        with ExitStack() as stack:  # which goes on where one is interrupted
            for template in self._templates:
                stack.callback(template.close)

    def wait_until_ready(self) -> None:
        """Wait until every template has imported what workers need.

        Raises:
            UserError: if one cannot start.
        """
        for number in range(len(self._templates)):
            self._ready(number)

    def _ready(self, number: int) -> Template:
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
            self._preparations.append(Preparation(tuple(new), preparation.device, self._suite))
            for number, template in enumerate(self._templates):
                template.prepare(self._preparations[-1])
                if one_first and number == 0:
                    template.wait_until_ready()

    def run(self, process: int, order: Order, timeout: float) -> Iterator[Event]:
        """Have a fresh worker carry out an order, and yield what it says until it is done.

        A template that was killed since it was ready is started anew.

        Raises:
            WorkerLostError: if it dies or shows no sign of life for `timeout` seconds.
            UserError: if it refuses the order, or templates are killed again and again.
        """
        self.log.write_bytes(b"")
        self.pulse.beat(NOBODY, NOBODY)
        number = process % len(self._templates)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                child = self._fork(number, theirs)
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
                status = self._wait(number, child)
        if finished:
            self._killed = 0
        elif status is None:
            message = "what the worker process was forked from was killed"
            raise WorkerLostError(message, NOBODY, NOBODY, silent=False, with_template=True)
        else:
            _, implementation, phase = self.pulse.read()
            raise WorkerLostError(self._last_words(status), implementation, phase, silent=False)

    def _fork(self, number: int, connection: socket.socket) -> int:
        """Have a template fork a worker, or another template if it was killed."""
        while True:
            try:
                return self._ready(number).fork(connection)
            except TemplateLostError as lost:
                self._start_anew(number, lost)

    def _wait(self, number: int, child: int) -> int | None:
        """The exit status of a worker; None if its template was killed, which is started anew."""
        try:
            return self._templates[number].wait(child)
        except TemplateLostError as lost:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)  # what it left behind, as the template would have
            self._start_anew(number, lost)
            return None

    def _start_anew(self, number: int, lost: TemplateLostError) -> None:
        """Replace a template that was killed, and have the new one prepare what that had prepared.

        Raises:
            UserError: if too many were killed in a row.
        """
        self._killed += 1
        if self._is_closed:
            raise lost
        if self._killed >= MOST_KILLED:
            raise UserError(
                f"{lost}; so were {self._killed - 1} before it, as when memory runs out"
            )
        self._templates[number].close()
        self._templates[number] = self._start()
        for preparation in self._preparations:
            self._templates[number].prepare(preparation)

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
        how = killed_by(status) if status < 0 else f"exit status {status}"
        if status == -signal.SIGKILL:  # by the system, or by us after its connection ended
            how += ", as when memory runs out or it closed its connection"
        log = last_lines(self.log)
        words = next((line for line in log if line.startswith("Fatal Python error")), None)
        words = words or (log[-1] if log else "")
        return f"the worker process ended: {how}" + (f"; {words[:200]}" if words else "")


class _SilentError(Exception):
    """No sign of life."""


def _kill(process: int) -> None:
    """End a worker that will not end by itself; it may have just done so."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return
