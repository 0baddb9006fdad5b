"""`sparsebench run SUITE`: verify, then measure; writes one run file."""

import argparse
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.quantities import positive, positive_float, seed, shard, threads
from bench.exit_codes import ExitCode

if TYPE_CHECKING:
    from bench.measure.plan import Plan
    from bench.measure.processes import Templates
    from bench.results.schema import Run
    from bench.results.store import Journal

PRECISION = 0.005
TIMEOUT = 120.0
FLEET_PATIENCE = 600.0
EXIT_CODES = (
    "Exit code: 0 where something was measured and nothing is wrong, 3 if nothing could be measured, "
    "4 if an implementation is wrong, fails or hangs, 130 where it was interrupted, 2 for a mistake "
    "in the command line or a file that cannot be read or written."
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run", help="measure a suite", description=__doc__, epilog=EXIT_CODES
    )
    parser.add_argument(
        "suite",
        help="quick, layers, voxels, real, networks, another installed suite, or a file with one",
    )
    parser.add_argument("--impl", metavar="NAMES", help="names or plug-in files, comma separated")
    parser.add_argument("--workload", metavar="PATTERNS", help="names, * and ? allowed")
    parser.add_argument("--phase", metavar="NAMES", help="phases to time (default: the suite's)")
    parser.add_argument("--dtype", metavar="NAMES", help="element types (default: the suite's)")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda, or auto: cpu and then cuda if there is one (default: %(default)s)",
    )
    parser.add_argument("--threads", type=threads, default=1, help="default: %(default)s")
    parser.add_argument("--processes", type=positive, help="fresh processes per workload")
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
    parser.add_argument("--seed", type=seed, default=0, help="seed of the order of visits")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="run file (default: runs/TIME-SUITE-DEVICE.json); --device auto adds -DEVICE to its name",
    )
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="measure the I-th of N parts of the workloads only; `report` merges the run files",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for a run that is already measuring here, instead of refusing",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="measure on the workers of this Dask scheduler instead, one run file for each kind of "
        "machine among them; continues with what is unfinished in the folder of -o",
    )
    parser.add_argument(
        "--patience",
        type=positive_float,
        metavar="SECONDS",
        help="with --scheduler: how long a kind of machine may have no worker before its part ends "
        f"(default: {FLEET_PATIENCE:g})",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="PARTIAL",
        help="resume an interrupted run from its .partial file",
    )
    parser.add_argument("--report", action="store_true", help="make an HTML page of the run, too")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write a run file for each device."""
    if arguments.scheduler is not None:
        return _sweep(arguments)
    if arguments.patience is not None:
        from bench.errors import UserError  # noqa: PLC0415

        raise UserError("--patience goes with --scheduler")
    if arguments.resume is not None and (code := _finished_before(arguments)) is not None:
        return code
    from contextlib import closing  # noqa: PLC0415

    from bench.cli.names import split  # noqa: PLC0415
    from bench.cli.output import say  # noqa: PLC0415
    from bench.exclusive import exclusive, resources  # noqa: PLC0415
    from bench.measure.messages import Preparation  # noqa: PLC0415
    from bench.measure.processes import Templates  # noqa: PLC0415
    from bench.plugins.installed import likely_references, suite_source  # noqa: PLC0415

    # Getting ready would disturb whoever measures already.
    with (
        exclusive(resources("cpu"), wait=arguments.wait, tell=say),
        closing(
            Templates(suite_source(arguments.suite), arguments.threads, arguments.processes)
        ) as templates,
    ):
        likely = likely_references(split(arguments.impl))
        device = "cpu" if arguments.device == "auto" else arguments.device
        templates.prepare(Preparation(likely, device))
        # Every mistake is found before anything is measured.
        jobs = [
            (plan := make_plan(arguments, device), _journal(arguments, plan.suite.name, device))
            for device in _devices(arguments)
        ]
        names = sorted({name for plan, _ in jobs for name in resources(plan.device)})
        with exclusive(names, wait=arguments.wait, tell=say):
            codes: list[int] = []
            for plan, journal in jobs:
                codes.append(_run_one(arguments, plan, journal, templates))
                if codes[-1] == ExitCode.INTERRUPTED:
                    break
            return max(codes)


def _finished_before(arguments: argparse.Namespace) -> int | None:
    """The exit code of a run that is to be gone on with, if it is complete; None if it is not.

    Raises:
        UserError: if it is complete, and was measured otherwise than is asked for.
    """
    from bench.cli.output import say  # noqa: PLC0415
    from bench.cli.resuming import check_alike, check_suite, resumed  # noqa: PLC0415

    journal = resumed(arguments)
    measured = journal.completed()
    if measured is None:
        return None
    check_suite(arguments.suite, measured, journal.target)
    check_alike(make_plan(arguments, arguments.device), measured, journal.target)
    say(f"{journal.target} is complete")
    return _conclude(arguments, measured, journal.target)


def _sweep(arguments: argparse.Namespace) -> int:
    """Have a fleet measure, and write a run file for each kind of machine.

    Raises:
        UserError: if an option does not go with a fleet.
    """
    from bench.cli import progress, selection  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.fleet.sweep import sweep  # noqa: PLC0415
    from bench.plugins.suites import load_suite  # noqa: PLC0415
    from bench.results.store import load  # noqa: PLC0415

    if arguments.device == "auto":
        raise UserError("--scheduler takes --device cpu or cuda: the workers decide which one")
    if arguments.resume is not None:
        raise UserError("--scheduler continues with what is unfinished in the folder of -o")
    if arguments.json:
        raise UserError("--scheduler writes a run file for each kind of machine: leave out --json")
    suite = load_suite(arguments.suite)
    chosen = selection.shard(selection.workloads(suite, arguments.workload), arguments.shard)
    folder = arguments.output or Path("runs") / f"sweep-{suite.name}-{arguments.device}"

    def target(machine: str) -> Path:
        slug = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
        return Path(folder) / f"{slug}.json"

    with progress.shown() as tell:
        written = sweep(
            arguments.scheduler,
            suite.source,
            [workload.name for workload in chosen],
            _passed_on(arguments),
            device=arguments.device,
            threads=arguments.threads,
            target=target,
            tell=tell,
            patience=arguments.patience or FLEET_PATIENCE,
        )
    return max([_conclude(arguments, load(path), path) for path in written])


def _passed_on(arguments: argparse.Namespace) -> list[str]:
    """The options of a run that a fleet's workers get."""
    options = ("impl", "phase", "dtype", "device", "threads", "processes", "seconds", "precision")
    given = {name: getattr(arguments, name) for name in (*options, "timeout", "seed")}
    return [f"--{name}={value}" for name, value in given.items() if value is not None]


def _run_one(
    arguments: argparse.Namespace, plan: "Plan", journal: "Journal", templates: "Templates"
) -> int:
    from bench.cli.output import say  # noqa: PLC0415
    from bench.cli.progress import shown  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.measure.engine import execute  # noqa: PLC0415

    try:
        with shown() as tell, _patient_interruption() as is_interrupted:
            measured: Run | None = execute(plan, journal, tell, templates, is_interrupted)
    except UserError:
        journal.drop_if_empty()
        raise
    except KeyboardInterrupt:
        measured = None
    if measured is None or not measured.finished:
        hint = f"; continue with --resume {journal.path}" if journal.path.exists() else ""
        say(f"interrupted{hint}")
        return ExitCode.INTERRUPTED
    return _conclude(arguments, measured, journal.finish(measured))


def _conclude(arguments: argparse.Namespace, measured: "Run", written: Path) -> int:
    """Print the summary, make the page, return the exit code."""
    from bench.cli.summary import print_summary  # noqa: PLC0415

    page = None
    if arguments.report:
        from bench.cli.report import write_page  # noqa: PLC0415

        page = write_page(measured, written)  # first, as printing ends where nobody reads on
    print_summary(measured, written, as_json=arguments.json, page_follows=arguments.report)
    if page is not None:
        print(f"report: {page}", file=sys.stderr if arguments.json else sys.stdout)
    return _exit_code(measured)


@contextmanager
def _patient_interruption() -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C ask for an end after the workload in progress; a second one stops at once."""
    from bench.cli.output import say  # noqa: PLC0415

    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("finishing this workload; press Ctrl-C again to stop now")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


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
    from bench.plugins.implementations import choose  # noqa: PLC0415
    from bench.plugins.suites import load_suite  # noqa: PLC0415
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
        workloads=selection.shard(
            selection.workloads(suite, arguments.workload), getattr(arguments, "shard", None)
        ),
        implementations=tuple(chosen),
        broken=tuple(broken),
        dtypes=selection.dtypes(arguments.dtype, suite.dtypes),
        device=device,
        settings=settings,
    )


def _journal(arguments: argparse.Namespace, suite: str, device: str) -> "Journal":
    """The journal of a run that is about to begin, or to be gone on with.

    Raises:
        UserError: if it, its run file or its page would have no place.
    """
    journal = _journal_of(arguments, suite, device)
    if arguments.report:
        from bench.cli.report import page_beside  # noqa: PLC0415

        page_beside(journal.target)
    return journal


def _journal_of(arguments: argparse.Namespace, suite: str, device: str) -> "Journal":
    from bench.cli.resuming import resumed  # noqa: PLC0415
    from bench.results.store import Journal  # noqa: PLC0415
    from bench.time_of_day import stamp  # noqa: PLC0415

    if arguments.resume is not None:
        return resumed(arguments)
    target = arguments.output or Path("runs") / f"{stamp()}-{suite}-{device}.json"
    if arguments.output is not None and arguments.device == "auto":  # a file for each device
        target = target.with_stem(f"{target.stem}-{device}")
    journal = Journal(target)
    journal.check()
    return journal


def _exit_code(measured: "Run") -> int:
    """Whether an implementation was wrong or failed, or nothing could be measured."""
    from bench.results.schema import WRONG, Status  # noqa: PLC0415

    statuses = {cell.status for cell in measured.cells}
    if statuses & WRONG:
        return ExitCode.WRONG
    return ExitCode.FINE if Status.OK in statuses else ExitCode.UNKNOWN
