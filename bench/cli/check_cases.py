"""What `sparsebench check` does in a process of its own, which the code that it checks may end."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import torch
from hypothesis.configuration import set_hypothesis_home_dir
from platformdirs import user_cache_path

from bench.cli import selection
from bench.cli.names import split
from bench.conformance import cases, checks
from bench.conformance.checks import Outcome, Result
from bench.conformance.messages import ORDERS, Done, Event, Order, Record, Refused, Started
from bench.conformance.networks import network_cases
from bench.conformance.properties import check_properties
from bench.dtypes import DTYPES, TF32
from bench.errors import UserError
from bench.exit_codes import ExitCode
from bench.lifetime import end_with_parent
from bench.measure import plan
from bench.measure.failures import DeadDeviceError, why_unavailable
from bench.plugins.implementations import choose, load

if TYPE_CHECKING:
    from bench.conformance.cases import Case


def check_cases(order: Order, tell: Callable[[Event], None]) -> None:
    """Check every case of every implementation, and tell which is at work and how it ended.

    Raises:
        UserError: if something is not there, or a case leaves a dead CUDA context.
    """
    device = plan.check_device(order.device)
    names = _dtypes(order.dtypes)
    chosen, _ = choose(split(order.implementations))
    torch.set_num_threads(1)
    every = _network_cases(names) if order.networks else cases.all_cases(names)
    drawn = () if order.networks else names
    total = len(every) + len(drawn)
    for number, reference in list(enumerate(chosen))[order.first :]:
        started = partial(Started, number, len(chosen), reference.name, total=total)
        tell(started("all", "whether it can run here", "", done=0))
        implementation = load(reference)
        reason = why_unavailable(implementation, device)
        if reason is not None:
            for dtype in names:
                outcome = Outcome(Result.UNSUPPORTED, reason)
                tell(_record(started("all", "", dtype, done=0), outcome))
            continue
        for done, case in enumerate(every):
            at = started(case.kind, str(case), case.dtype, done=done)
            tell(at)
            with _naming(reference.name, str(case)):
                outcome = checks.check(implementation, case, device)
            tell(_record(at, outcome))
        for done, dtype in enumerate(drawn, len(every)):
            at = started("drawn by hypothesis", f"{order.examples} examples", dtype, done=done)
            tell(at)
            with _naming(reference.name, f"a drawn case in {dtype}"):
                outcome = check_properties(
                    implementation,
                    dtype,
                    examples=order.examples,
                    device=device,
                    started=partial(_tell_of_drawn, tell, at),
                )
            tell(_record(at, outcome))


def _tell_of_drawn(tell: Callable[[Event], None], at: Started, drawn: str) -> None:
    tell(msgspec.structs.replace(at, case=drawn))


def _record(at: Started, outcome: Outcome) -> Record:
    result = str(outcome.result)
    return Record(at.implementation, at.operator, at.case, at.dtype, result, outcome.reason)


@contextmanager
def _naming(implementation: str, case: str) -> Iterator[None]:
    """End the command where a case leaves a dead CUDA context: later ones would be blamed for it.

    Raises:
        UserError: which names the case.
    """
    try:
        yield
    except DeadDeviceError as error:
        raise UserError(
            f"{implementation} left the GPU unusable for this process at {case}, "
            f"and nothing after it can be checked: {error}"
        ) from error


def _dtypes(names: str | None) -> tuple[str, ...]:
    """Element types that there are cases in.

    Raises:
        UserError: if one is unknown, or has none.
    """
    wanted = selection.dtypes(names, tuple(DTYPES))
    if TF32 in wanted:
        raise UserError(f"there are no cases in {TF32}; `sparsebench run` checks what it times")
    return wanted


def _network_cases(dtypes: tuple[str, ...]) -> "list[Case]":
    from suites.networks import small  # noqa: PLC0415

    return network_cases(small.conformance_networks(), dtypes)


def main(descriptor: int, order: Order) -> None:
    """Carry out an order, and write events to an inherited descriptor."""
    end_with_parent()  # what is checked may hang, and then nobody would be there to end it
    set_hypothesis_home_dir(user_cache_path("sparsebench") / "hypothesis")  # not where the user is
    # A process that a plug-in forks and leaves behind may not keep the connection open.
    os.register_at_fork(after_in_child=lambda: os.close(descriptor))

    def tell(event: Event) -> None:
        line = msgspec.json.encode(event) + b"\n"
        try:
            while line:
                line = line[os.write(descriptor, line) :]
        except OSError:  # nobody hears it any more
            os._exit(1)

    try:
        check_cases(order, tell)
        tell(Done())
    except UserError as error:
        tell(Refused(str(error)))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main(int(sys.argv[1]), ORDERS.decode(sys.argv[2]))
