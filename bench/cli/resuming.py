"""What `sparsebench run --resume` goes on with."""

import argparse
import shlex
from pathlib import Path

from bench.errors import UserError
from bench.measure.engine import differing_choices
from bench.measure.plan import Plan
from bench.plugins.files import names_file
from bench.results.schema import Run
from bench.results.store import Journal


def resumed(arguments: argparse.Namespace) -> Journal:
    """The journal that is to be gone on with; or its run file is there.

    Raises:
        UserError: if there is neither, or another run file or more devices than one were asked for.
    """
    path, output = arguments.resume, arguments.output
    if arguments.device == "auto":
        raise UserError("--resume takes --device cpu or cuda, as that of the interrupted run")
    is_journal = path.suffix == ".partial"
    if not is_journal or not (path.exists() or path.with_suffix("").exists()):
        raise UserError(f"--resume takes an existing .partial file, not {path}")
    journal = Journal(path.with_suffix(""))
    if output is not None and output.resolve() != journal.target.resolve():
        raise UserError(f"--resume goes on with {journal.target}: leave out -o, or name that")
    return journal


def check_suite(given: str, measured: Run, target: Path) -> None:
    """Refuse another suite than a complete run's.

    Raises:
        UserError: naming both.
    """
    header = measured.header
    suites = [header.suite_files.get(name, name) for name in header.suites]
    name = Path(given).name if names_file(given) else given
    if name not in suites:
        raise UserError(f"{target} is a run of {', '.join(suites)}, not of {name}")


def check_alike(plan: Plan, measured: Run, target: Path) -> None:
    """Refuse options that a complete run was not measured with, as an unfinished one does.

    Raises:
        UserError: naming what differs.
    """
    differing = differing_choices(plan, measured)
    if differing:
        raise UserError(
            f"{target} is complete, and differs in its {', '.join(differing)}: it was measured with "
            f"`{shlex.join(measured.header.command)}`; leave out --resume to measure anew"
        )
