"""Lock step: two worker processes that never work at the same time, and take turns visit by visit.

Whoever compares two revisions of the same code cannot have both in one process. Each has a worker of
its own, and a turnstile lets one of them through at a time: to check and warm up, then for one visit
after the other, in random order within every pair of visits. Phases begin together.
"""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

ASK, MEET, GO = b"a", b"m", b"g"
"""A worker asks for its turn, or waits until all have come as far; it is told to go."""
BEAT_SECONDS = 1.0


class State(Enum):
    """Where a worker stands."""

    ABSENT = auto()
    WAITING = auto()
    MEETING = auto()
    WORKING = auto()
    LEFT = auto()


class Turnstile:
    """Lets one of several workers through at a time; use it as a context.

    Nobody is let through while one of them is still to come, so that first visits meet. One that dies
    is waited for until it comes again, or is said to have left.

    Args:
        path: of the socket, which is made.
        names: of the workers.
        order: who goes first in every pair of visits.
    """

    def __init__(self, path: Path, names: tuple[str, ...], order: random.Random) -> None:
        self.path = path
        self._order = order
        self._states = dict.fromkeys(names, State.ABSENT)
        self._connections: dict[str, socket.socket] = {}
        self._due: list[str] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            self._is_closed = True
            for connection in self._connections.values():
                _hang_up(connection)
        self.path.unlink(missing_ok=True)

    def leave(self, name: str) -> None:
        """Say that a worker will not come again."""
        self._become(name, State.LEFT)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        name = ""
        with suppress(OSError), connection.makefile("rb") as stream:
            name = stream.readline().decode().strip()
            if name not in self._states:
                _hang_up(connection)
                return
            with self._lock:
                if self._is_closed:  # it came while this was closing
                    _hang_up(connection)
                    return
                self._connections[name] = connection
            while message := stream.read(1):
                self._become(name, State.MEETING if message == MEET else State.WAITING)
        connection.close()
        with self._lock:  # it may have come again meanwhile, by another connection
            gone = self._connections.get(name) is connection
            if gone and self._states[name] is not State.LEFT:
                self._states[name] = State.ABSENT

    def _become(self, name: str, state: State) -> None:
        with self._lock:
            if self._states[name] is not State.LEFT:
                self._states[name] = state
            self._let_through()

    def _let_through(self) -> None:
        """Let the next one go, unless one is at work or still to come."""
        here = {name: state for name, state in self._states.items() if state is not State.LEFT}
        if {State.ABSENT, State.WORKING} & set(here.values()):
            return
        if here and all(state is State.MEETING for state in here.values()):
            here = dict.fromkeys(here, State.WAITING)
            self._states |= here
        waiting = [name for name, state in here.items() if state is State.WAITING]
        if not waiting:
            return
        if not any(name in waiting for name in self._due):
            self._due = self._order.sample(waiting, len(waiting))
        chosen = next(name for name in self._due if name in waiting)
        self._due.remove(chosen)
        self._states[chosen] = State.WORKING
        with suppress(OSError):  # it died: its own thread will say so
            self._connections[chosen].sendall(GO)


def _hang_up(connection: socket.socket) -> None:
    """End a connection, whatever thread is reading from it: to close it alone would leave it open."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Turns:
    """A worker's side of a turnstile.

    Args:
        path: of the turnstile's socket.
        name: of this worker.
        beat: told every second while waiting, as a sign of life.
    """

    def __init__(self, path: str, name: str, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.settimeout(BEAT_SECONDS)
        self._socket.sendall(name.encode() + b"\n")

    def wait(self) -> None:
        """Let others work until it is this worker's turn."""
        self._ask(ASK)

    def meet(self) -> None:
        """Let others work until all have come as far, and it is this worker's turn."""
        self._ask(MEET)

    def close(self) -> None:
        """Leave the turnstile."""
        self._socket.close()

    def _ask(self, message: bytes) -> None:
        self._socket.sendall(message)
        while True:
            try:
                answer = self._socket.recv(1)
            except TimeoutError:
                self._beat()
            else:
                if answer != GO:
                    raise ConnectionError("the turnstile closed")
                return


class Alone:
    """Nobody to take turns with."""

    def wait(self) -> None:
        """Go on."""

    def meet(self) -> None:
        """Go on."""
