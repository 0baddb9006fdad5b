"""Hands units out to a scheduler, takes what comes back, and notices who is gone."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, whole_text
from bench.fleet.part import Part
from bench.results.schema import Run
from bench.results.store import decode

if TYPE_CHECKING:
    from distributed import Future

LOOK_SECONDS = 2.0
POLL_SECONDS = 0.05


class Dispatch:
    """Hands units out, takes what comes back, and notices who is gone.

    Args:
        parts: whose missing units are measured.
        submit: hands one out, by label and name of the workload.
        look: says who is there.
        patience: seconds for which a kind may have no worker.
        tell: told after every unit how many are done, of how many, and which that was.
    """

    def __init__(
        self,
        parts: list[Part],
        submit: "Callable[[str, str], Future[Any]]",
        look: Callable[[], dict[str, set[str]]],
        patience: float,
        tell: Callable[[int, int, str], None],
    ) -> None:
        from distributed import as_completed  # noqa: PLC0415

        self._submit = submit
        self._look = look
        self._patience = patience
        self._tell = tell
        self._waiting = {
            submit(part.label, name): (part, name) for part in parts for name in part.missing
        }
        self._total = sum(len(part.workloads) for part in parts)
        self._done = self._total - len(self._waiting)
        self._completed = as_completed(list(self._waiting))
        self._present = look()
        self._last_seen = dict.fromkeys((part.label for part in parts), time.monotonic())

    def run(self) -> None:
        """Return when every unit came back or was given up."""
        looked = time.monotonic()
        while self._waiting:
            batch = self._completed.next_batch(block=False)
            for future in batch:
                if future in self._waiting:
                    self._take(future)
            if not batch:
                time.sleep(POLL_SECONDS)
            if time.monotonic() - looked > LOOK_SECONDS:
                self._look_around()
                looked = time.monotonic()

    def _take(self, future: "Future[Any]") -> None:
        part, name = self._waiting.pop(future)
        try:
            part.keep(name, _result(future, name))
        except UserError as error:
            part.fail(str(error))
            if part.given_up:
                self._withdraw(part)
            return
        self._done += 1
        self._tell(self._done, self._total, f"{name} {part.machine}")

    def _look_around(self) -> None:
        try:
            present = self._look()
        except (OSError, TimeoutError, ValueError):  # the scheduler is gone, perhaps for a moment
            present = {}
        now = time.monotonic()
        for part in {part for part, _ in self._waiting.values()}:
            here = present.get(part.label, set())
            if here:
                self._last_seen[part.label] = now
                if not here & self._present.get(part.label, set()):
                    # All are new: Dask gives them nothing that waited before they had the resource.
                    names = self._withdraw(part)
                    again = {self._submit(part.label, name): (part, name) for name in names}
                    self._waiting |= again
                    self._completed.update(list(again))
            elif now - self._last_seen[part.label] > self._patience:
                part.given_up = (
                    f"no worker of this kind was available for {self._patience:g} seconds"
                )
                self._withdraw(part)
        self._present = present

    def _withdraw(self, part: Part) -> list[str]:
        """Take back what a part has not done; return the names of its workloads."""
        futures = [future for future, (whose, _) in self._waiting.items() if whose is part]
        names = [self._waiting.pop(future)[1] for future in futures]
        for future in futures:
            future.cancel()
        return names


def _result(future: Any, name: str) -> Run:  # noqa: ANN401
    try:
        content = future.result()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} could not be measured: {whole_text(error)}") from error
    return decode(content, name)
