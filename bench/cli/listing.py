"""`sparsebench list`: implementations and suites, and whether they can run here."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.workload import Suite


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "list", help="show implementations, suites and workloads", description=__doc__
    )
    parser.add_argument(
        "suite", nargs="?", help="show the workloads of this suite, named or in a file"
    )
    parser.add_argument("--impl", metavar="NAMES", help="names or plug-in files, comma separated")
    parser.add_argument("--device", help="cpu or cuda (default: cpu)")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what there is."""
    from bench.cli.output import print_json, print_table  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.plugins.suites import load_suite  # noqa: PLC0415

    if arguments.suite is not None:
        if arguments.impl is not None or arguments.device is not None:
            raise UserError("--impl and --device choose implementations: leave out the suite")
        suite = load_suite(arguments.suite)
        rows = _workloads(suite)
        title = f"Workloads of suite {suite.name}"
        if arguments.json:
            print_json(rows)
        else:
            print_table(title, rows)
        return 0
    implementations = _implementations(arguments)
    suites = _suites()
    if arguments.json:
        print_json({"implementations": implementations, "suites": suites})
        return 0
    print_table("Implementations", implementations)
    print_table("Suites", suites)
    return 0


def _implementations(arguments: argparse.Namespace) -> list[dict[str, str]]:
    from bench.cli.names import split  # noqa: PLC0415
    from bench.measure.failures import why_unavailable  # noqa: PLC0415
    from bench.measure.plan import check_device  # noqa: PLC0415
    from bench.plugins.implementations import choose, load  # noqa: PLC0415

    device = check_device(arguments.device or "cpu")
    found, broken = choose(split(arguments.impl))
    rows = []
    for reference in found:
        implementation = load(reference)
        reason = why_unavailable(implementation, device)
        rows.append(
            {
                "name": implementation.name,
                "version": str(implementation.version),
                "status": "ready" if reason is None else f"unavailable: {reason}",
                "origin": implementation.origin or reference.source,
            }
        )
    rows += [
        {"name": each.name, "version": "", "status": f"broken: {each.error}", "origin": each.source}
        for each in broken
    ]
    return rows


def _suites() -> list[dict[str, str | int]]:
    from bench.errors import UserError  # noqa: PLC0415
    from bench.plugins.installed import SUITES, installed_entries  # noqa: PLC0415
    from bench.plugins.suites import load_suite  # noqa: PLC0415

    rows: list[dict[str, str | int]] = []
    for name in installed_entries(SUITES):
        try:
            suite = load_suite(name)
        except UserError as error:  # it stops nobody from using the others
            rows.append({"name": name, "workloads": 0, "description": f"broken: {error}"})
            continue
        workloads = len(suite.workloads())
        rows.append({"name": name, "workloads": workloads, "description": suite.description})
    return rows


def _workloads(suite: "Suite") -> list[dict[str, str]]:
    return [
        {"name": workload.name, "version": workload.version(), "group": workload.group}
        for workload in suite.workloads()
    ]
