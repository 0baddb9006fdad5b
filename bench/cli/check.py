"""`sparsebench check NAME`: the conformance suite, against any implementation."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.conformance.cases import Case
    from bench.conformance.checks import Outcome

FAILED = 4
NOTHING_CHECKED = 3
SHOWN_FAILURES = 10


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    from bench.cli.quantities import positive  # noqa: PLC0415

    parser = commands.add_parser(
        "check", help="check an implementation against torch, in every case", description=__doc__
    )
    parser.add_argument("implementation", help="names or plug-in files, comma separated")
    parser.add_argument("--dtype", metavar="NAMES", help="element types (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--examples", type=positive, default=100, help="hypothesis examples a type (default: 100)"
    )
    parser.add_argument(
        "--networks",
        action="store_true",
        help="check whole networks instead of operators: the same as dense, in both background modes",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check every case and print the table; exit code 4 if any failed, 3 if none could be checked."""
    import torch  # noqa: PLC0415

    from bench.cli.names import split  # noqa: PLC0415
    from bench.cli.output import print_json  # noqa: PLC0415
    from bench.conformance.cases import all_cases  # noqa: PLC0415
    from bench.conformance.checks import Outcome, Result, check  # noqa: PLC0415
    from bench.conformance.properties import check_properties  # noqa: PLC0415
    from bench.measure.failures import why_unavailable  # noqa: PLC0415
    from bench.measure.plan import check_device  # noqa: PLC0415
    from bench.registry import choose, load  # noqa: PLC0415

    device = check_device(arguments.device)
    names = _dtypes(arguments.dtype)
    chosen, _ = choose(split(arguments.implementation))
    torch.set_num_threads(1)
    records: list[dict[str, str]] = []

    def note(implementation: str, operator: str, case: str, dtype: str, outcome: "Outcome") -> None:
        records.append(
            {
                "implementation": implementation,
                "operator": operator,
                "case": case,
                "dtype": dtype,
                "result": str(outcome.result),
                "reason": outcome.reason,
            }
        )

    cases = _network_cases(names) if arguments.networks else all_cases(names)
    for reference in chosen:
        implementation = load(reference)
        reason = why_unavailable(implementation, device)
        if reason is not None:
            for dtype in names:
                note(reference.name, "all", "", dtype, Outcome(Result.UNSUPPORTED, reason))
            continue
        for case in cases:
            with _naming(reference.name, str(case)):
                outcome = check(implementation, case, device)
            note(reference.name, case.kind, str(case), case.dtype, outcome)
        if arguments.networks:
            continue
        for dtype in names:
            with _naming(reference.name, f"a drawn case in {dtype}"):
                outcome = check_properties(
                    implementation, dtype, examples=arguments.examples, device=device
                )
            note(
                reference.name,
                "drawn by hypothesis",
                f"{arguments.examples} examples",
                dtype,
                outcome,
            )
    if arguments.json:
        print_json(records)
    else:
        _print(records, names)
    results = {record["result"] for record in records}
    if "failed" in results:
        return FAILED
    return 0 if "passed" in results else NOTHING_CHECKED


@contextmanager
def _naming(implementation: str, case: str) -> Iterator[None]:
    """End the command where a case leaves a dead CUDA context: later ones would be blamed for it.

    Raises:
        UserError: which names the case.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.failures import DeadDeviceError  # noqa: PLC0415

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
    from bench.cli.selection import dtypes  # noqa: PLC0415
    from bench.dtypes import DTYPES, TF32  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415

    wanted = dtypes(names, tuple(DTYPES))
    if TF32 in wanted:
        raise UserError(f"there are no cases in {TF32}; `sparsebench run` checks what it times")
    return wanted


def _network_cases(dtypes: tuple[str, ...]) -> "list[Case]":
    from bench.conformance.networks import network_cases  # noqa: PLC0415
    from suites.networks.small import conformance_networks  # noqa: PLC0415

    return network_cases(conformance_networks(), dtypes)


def _print(records: list[dict[str, str]], dtypes: tuple[str, ...]) -> None:
    """A table of operators and types for each implementation, then what failed and why."""
    from bench.cli.output import print_table  # noqa: PLC0415

    for implementation in dict.fromkeys(record["implementation"] for record in records):
        own = [record for record in records if record["implementation"] == implementation]
        rows = []
        for operator in dict.fromkeys(record["operator"] for record in own):
            cells = [record for record in own if record["operator"] == operator]
            rows.append(
                {"operator": operator}
                | {
                    dtype: _count([cell for cell in cells if cell["dtype"] == dtype])
                    for dtype in dtypes
                }
            )
        print_table(f"Conformance of {implementation}", rows)
        reasons = dict.fromkeys(
            f"unsupported: {record['reason']}"
            for record in own
            if record["result"] == "unsupported"
        )
        for reason in reasons:
            print(reason)  # noqa: T201
        failures = [record for record in own if record["result"] == "failed"]
        for record in failures[:SHOWN_FAILURES]:
            print(f"FAILED {record['case']}: {record['reason']}")  # noqa: T201
        if len(failures) > SHOWN_FAILURES:
            print(f"... and {len(failures) - SHOWN_FAILURES} more failures")  # noqa: T201


def _count(cells: list[dict[str, str]]) -> str:
    results = [cell["result"] for cell in cells]
    parts = [
        f"{results.count(result)} {result}"
        for result in ("passed", "failed", "unsupported")
        if result in results
    ]
    return ", ".join(parts)
