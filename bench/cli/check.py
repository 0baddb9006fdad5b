"""`sparsebench check NAME`: the conformance suite, against any implementation."""

import argparse
from typing import Any

from bench.exit_codes import ExitCode

CASES = "bench.cli.check_cases"
"""The module that is run in a process of its own."""
SHOWN_FAILURES = 10
EXIT_CODES = (
    "Exit code: 0 where all that is supported passed, 4 if a case failed, 3 if none could be checked, "
    "2 for a mistake in the command line."
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    from bench.cli.quantities import positive, positive_float  # noqa: PLC0415
    from bench.cli.run import TIMEOUT  # noqa: PLC0415

    parser = commands.add_parser(
        "check",
        help="check an implementation against torch, in every case",
        description=__doc__,
        epilog=EXIT_CODES,
    )
    parser.add_argument("implementation", help="names or plug-in files, comma separated")
    parser.add_argument("--dtype", metavar="NAMES", help="element types (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--examples", type=positive, default=100, help="hypothesis examples per type (default: 100)"
    )
    parser.add_argument(
        "--networks",
        action="store_true",
        help="check whole networks instead of operators: the same as dense, in both background modes",
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="time without a sign of life after which a case fails (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check every case and print the table; exit code 4 if any failed, 3 if none could be checked.

    A case that ends its process, or shows no sign of life, has failed.
    """
    import msgspec  # noqa: PLC0415

    from bench.cli.names import split  # noqa: PLC0415
    from bench.cli.output import print_json  # noqa: PLC0415
    from bench.cli.progress import shown  # noqa: PLC0415
    from bench.conformance import processes  # noqa: PLC0415
    from bench.conformance.messages import Order, Started  # noqa: PLC0415

    order = Order(
        implementations=",".join(split(arguments.implementation) or ()),
        dtypes=arguments.dtype,
        device=arguments.device,
        examples=arguments.examples,
        networks=arguments.networks,
    )
    with shown() as show:

        def tell(at: Started) -> None:
            done, total = at.number * at.total + at.done, at.count * at.total
            show(done, total, f"{at.implementation} {at.operator} {at.dtype}")

        records: list[dict[str, str]] = [
            msgspec.structs.asdict(record)
            for record in processes.outlived(CASES, order, arguments.timeout, tell)
        ]
    if arguments.json:
        print_json(records)
    else:
        _print(records)
    results = {record["result"] for record in records}
    if "failed" in results:
        return ExitCode.WRONG
    return ExitCode.FINE if "passed" in results else ExitCode.UNKNOWN


def _print(records: list[dict[str, str]]) -> None:
    """A table of operators and types for each implementation, then what failed and why."""
    from bench.cli.output import print_table  # noqa: PLC0415

    for implementation in dict.fromkeys(record["implementation"] for record in records):
        own = [record for record in records if record["implementation"] == implementation]
        dtypes = dict.fromkeys(record["dtype"] for record in own if record["dtype"]) or ("",)
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
        _print_failures([record for record in own if record["result"] == "failed"])


def _print_failures(failures: list[dict[str, str]]) -> None:
    """Print a case of each reason, and how many fail alike."""
    from reports.words import count  # noqa: PLC0415

    by_reason: dict[str, list[dict[str, str]]] = {}
    for record in failures:
        by_reason.setdefault(record["reason"], []).append(record)
    alike = list(by_reason.values())
    # The last is shown in any case: where the process ended, it says so.
    shown = [*alike[: SHOWN_FAILURES - 1], *alike[SHOWN_FAILURES - 1 :][-1:]]
    for first, *others in shown:
        more = f" ({count(len(others), 'case')} more alike)" if others else ""
        print(f"FAILED {first['case']}: {first['reason']}{more}")  # noqa: T201
    if rest := len(failures) - sum(map(len, shown)):
        print(f"... and {count(rest, 'more failure')}: --json lists all")  # noqa: T201


def _count(cells: list[dict[str, str]]) -> str:
    results = [cell["result"] for cell in cells]
    parts = [
        f"{results.count(result)} {result}"
        for result in ("passed", "failed", "unsupported")
        if result in results
    ]
    return ", ".join(parts)
