"""`sparsebench run SUITE`: verify, then measure; writes one run file."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.measure.plan import Plan
    from bench.measure.processes import Templates
    from bench.results.schema import Run
    from bench.results.store import Journal

PRECISION = 0.005
TIMEOUT = 120.0
INTERRUPTED = 130


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="measure a suite", description=__doc__)
    parser.add_argument("suite", help="quick, layers, real, or another installed suite")
    parser.add_argument("--impl", metavar="NAMES", help="names or plug-in files, comma separated")
    parser.add_argument("--workload", metavar="PATTERNS", help="names, * and ? allowed")
    parser.add_argument("--phase", metavar="NAMES", help="phases to time (default: the suite's)")
    parser.add_argument("--dtype", metavar="NAMES", help="element types (default: the suite's)")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda, or auto: cpu and then cuda if there is one"
    )
    parser.add_argument("--threads", type=positive, default=1, help="default: %(default)s")
    parser.add_argument("--processes", type=positive, help="fresh processes a workload")
    parser.add_argument(
        "--seconds", type=positive_float, help="budget of one phase of one workload in one process"
    )
    parser.add_argument(
        "--precision",
        type=positive_float,
        default=PRECISION,
        help="half-width of the 99 %% interval of log-ratios to stop at (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        default=TIMEOUT,
        help="seconds without a sign of life before a worker is ended (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of visits")
    parser.add_argument(
        "-o", "--output", type=Path, help="run file (default: runs/TIME-SUITE-DEVICE.json)"
    )
    parser.add_argument("--resume", type=Path, metavar="PARTIAL", help="go on with a killed run")
    parser.add_argument("--report", action="store_true", help="make an HTML page of the run, too")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write a run file for each device."""
    from contextlib import closing  # noqa: PLC0415

    from bench.cli.names import split  # noqa: PLC0415
    from bench.measure.messages import Preparation  # noqa: PLC0415
    from bench.measure.processes import Templates  # noqa: PLC0415
    from bench.plugins import likely_references  # noqa: PLC0415

    with closing(Templates(arguments.suite, arguments.threads, arguments.processes)) as templates:
        likely = likely_references(split(arguments.impl))
        device = "cpu" if arguments.device == "auto" else arguments.device
        templates.prepare(Preparation(likely, device))
        # Every mistake is found before anything is measured.
        jobs = [
            (make_plan(arguments, device), _journal(arguments, device))
            for device in _devices(arguments)
        ]
        return max([_run_one(arguments, plan, journal, templates) for plan, journal in jobs])


def _run_one(
    arguments: argparse.Namespace, plan: "Plan", journal: "Journal", templates: "Templates"
) -> int:
    from bench.cli.progress import shown  # noqa: PLC0415
    from bench.cli.summary import print_summary  # noqa: PLC0415
    from bench.measure.engine import execute  # noqa: PLC0415

    try:
        with shown() as tell:
            measured = execute(plan, journal, tell, templates)
    except KeyboardInterrupt:
        hint = f"; go on with --resume {journal.path}" if journal.path.exists() else ""
        print(f"sparsebench: interrupted{hint}", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    written = journal.finish(measured)
    print_summary(measured, written, as_json=arguments.json)
    if arguments.report:
        from bench.cli.report import write_page  # noqa: PLC0415

        page = write_page(measured, written.with_suffix(".html"))
        print(f"report: {page}", file=sys.stderr if arguments.json else sys.stdout)
    return _exit_code(measured)


def _devices(arguments: argparse.Namespace) -> list[str]:
    """The devices to measure, one run file each."""
    if arguments.device != "auto":
        return [arguments.device]
    import torch  # noqa: PLC0415

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def make_plan(arguments: argparse.Namespace, device: str) -> "Plan":
    """Turn options into a plan.

    Raises:
        UserError: if an option names something that is not there.
    """
    from bench.cli import selection  # noqa: PLC0415
    from bench.cli.names import split  # noqa: PLC0415
    from bench.measure.plan import Plan  # noqa: PLC0415
    from bench.registry import choose, load_suite  # noqa: PLC0415
    from bench.results.schema import Settings  # noqa: PLC0415

    suite = load_suite(arguments.suite)
    chosen, broken = choose(split(arguments.impl))
    settings = Settings(
        seconds=arguments.seconds or suite.seconds,
        precision=arguments.precision,
        processes=arguments.processes or suite.processes,
        threads=arguments.threads,
        seed=arguments.seed,
        timeout=arguments.timeout,
        phases=selection.phases(arguments.phase, suite.phases),
    )
    return Plan(
        suite=suite,
        workloads=selection.workloads(suite, arguments.workload),
        implementations=tuple(chosen),
        broken=tuple(broken),
        dtypes=selection.dtypes(arguments.dtype, suite.dtypes),
        device=device,
        settings=settings,
    )


def _journal(arguments: argparse.Namespace, device: str) -> "Journal":
    from datetime import UTC, datetime  # noqa: PLC0415

    from bench.errors import UserError  # noqa: PLC0415
    from bench.results.store import Journal  # noqa: PLC0415

    if arguments.resume is not None:
        if not arguments.resume.name.endswith(".partial") or not arguments.resume.exists():
            raise UserError(f"--resume takes an existing .partial file, not {arguments.resume}")
        return Journal(arguments.resume.with_suffix(""))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = arguments.output or Path("runs") / f"{stamp}-{arguments.suite}-{device}.json"
    journal = Journal(target)
    journal.check()
    return journal


def _exit_code(measured: "Run") -> int:
    """4 if an implementation was wrong or failed, 3 if nothing could be measured, else 0."""
    from bench.results.schema import Status  # noqa: PLC0415

    statuses = {cell.status for cell in measured.cells}
    if statuses & {Status.INCORRECT, Status.ERROR, Status.TIMEOUT}:
        return 4
    return 0 if Status.OK in statuses else 3


def positive(text: str) -> int:
    """Read an option that counts something."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def positive_float(text: str) -> float:
    """Read an option that measures something."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value
