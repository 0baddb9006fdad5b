"""`sparsebench ab BASE [HEAD]`: two revisions, measured in turn and compared.

They are revisions of this project or, with --repository, of the plug-in files that --impl names.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.comparison import Changes
    from bench.measure.plan import Plan

PROCESSES = 5
"""Processes of each revision; with three, few of which differ, 5 % is seldom ruled out."""


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    from bench.cli.compare import EXIT_CODES  # noqa: PLC0415
    from bench.cli.quantities import positive, positive_float, seed, threads  # noqa: PLC0415
    from bench.cli.run import PRECISION, TIMEOUT  # noqa: PLC0415

    parser = commands.add_parser(
        "ab", help="compare two revisions", description=__doc__, epilog=EXIT_CODES
    )
    parser.add_argument("base", metavar="BASE", help="commit, branch or tag")
    parser.add_argument("head", nargs="?", metavar="HEAD", help="default: the working tree")
    parser.add_argument(
        "--null",
        action="store_true",
        help="compare BASE with itself: how often this machine raises a false alarm",
    )
    parser.add_argument(
        "--repository",
        type=Path,
        metavar="FOLDER",
        help="git repository of plug-in files whose revisions are measured (default: this project)",
    )
    parser.add_argument(
        "--build",
        default="",
        metavar="COMMAND",
        help="run by a shell in each checkout, the working tree included, before it is imported",
    )
    parser.add_argument("--suite", default="quick", help="name or file (default: %(default)s)")
    parser.add_argument("--impl", metavar="NAMES", help="names or plug-in files, comma separated")
    parser.add_argument("--workload", metavar="PATTERNS", help="names, * and ? allowed")
    parser.add_argument("--phase", metavar="NAMES", help="phases to time (default: the suite's)")
    parser.add_argument("--dtype", metavar="NAMES", help="element types (default: the suite's)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", type=threads, default=1, help="default: %(default)s")
    parser.add_argument(
        "--processes",
        type=positive,
        default=PROCESSES,
        help="processes of each revision (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=positive_float,
        help="budget of one phase of one workload in one pair of processes (default: what the suite "
        "gives to all its processes, shared out)",
    )
    parser.add_argument(
        "--wait", action="store_true", help="wait if another run is measuring on this machine"
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the order of visits")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="keep what was measured there, in run files base.json and head.json",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="for a pull request's comment")
    forms.add_argument("--json", action="store_true", help="machine-readable")
    parser.add_argument("--all", action="store_true", help="list every cell")
    parser.set_defaults(run=run, precision=PRECISION, timeout=TIMEOUT)


def run(arguments: argparse.Namespace) -> int:
    """Measure both revisions and print what changed."""
    from bench.ab import compare_revisions  # noqa: PLC0415
    from bench.cli.compare import print_changes  # noqa: PLC0415
    from bench.cli.output import say  # noqa: PLC0415
    from bench.cli.progress import shown  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.exclusive import exclusive, resources  # noqa: PLC0415
    from bench.results.store import write  # noqa: PLC0415
    from bench.revisions import PROJECT, checked_out  # noqa: PLC0415

    if arguments.null and arguments.head:
        raise UserError("--null compares BASE with itself: leave HEAD out")
    targets = [] if arguments.output is None else _targets(arguments.output)
    head = arguments.base if arguments.null else arguments.head
    project = arguments.repository or PROJECT
    plugins = arguments.repository is not None
    with (
        checked_out(arguments.base, project, plugins=plugins, build=arguments.build) as before,
        checked_out(head, project, plugins=plugins, build=arguments.build) as after,
    ):
        plan = _plan(arguments)
        if hint := same_on_both_sides(arguments.impl, arguments.repository):
            say(hint)
        names = resources(plan.device)
        with exclusive(names, wait=arguments.wait, tell=say), shown() as tell:
            changes = compare_revisions(plan, before, after, tell)
    try:
        for measured, target in zip((changes.base, changes.head), targets, strict=False):
            write(measured, target)
            say(f"written: {target}")
    finally:  # what was found is told even if the disk is full
        print_changes(
            changes, as_json=arguments.json, markdown=arguments.markdown, everything=arguments.all
        )
        if arguments.null and not arguments.json:
            print(_null_result(changes))  # noqa: T201
    return changes.exit_code


def same_on_both_sides(implementations: str | None, repository: Path | None) -> str:
    """Which plug-in files do not differ between the revisions, and what would have them; or nothing."""
    from bench.cli.names import split  # noqa: PLC0415
    from bench.plugins.files import names_file  # noqa: PLC0415

    files = [name for name in split(implementations) or () if names_file(name)]
    if repository is not None or not files:
        return ""
    return (
        f"the revisions are those of sparsebench's own checkout; {', '.join(files)}: the same file on "
        f"both sides. With --repository they are those of the repository that it lies in"
    )


def _targets(folder: Path) -> list[Path]:
    """The run files of both sides, before anything is measured; their folder is made.

    Raises:
        UserError: if one of them exists, or would have no place.
    """
    from bench.ab import SIDES  # noqa: PLC0415
    from bench.errors import UserError  # noqa: PLC0415
    from bench.files import make_folder  # noqa: PLC0415
    from bench.results.store import Journal  # noqa: PLC0415

    targets = [folder / f"{side}.json" for side in SIDES]
    for target in targets:
        Journal(target).check()
    try:
        make_folder(folder)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write in {folder}")
    return targets


def _plan(arguments: argparse.Namespace) -> "Plan":
    """The plan of a run, with the suite's time shared out over more processes and two revisions."""
    from bench.cli.run import make_plan  # noqa: PLC0415

    plan = make_plan(arguments, arguments.device)
    suite = plan.suite
    seconds = arguments.seconds or suite.seconds * suite.processes / arguments.processes
    # While the other revision is visited, this one's budget runs on.
    return replace(plan, settings=replace(plan.settings, seconds=2 * seconds))


def _null_result(changes: "Changes") -> str:
    """How often the same code was told apart, and what could have been found."""
    from statistics import median  # noqa: PLC0415

    from bench.statistics.verdicts import Verdict  # noqa: PLC0415
    from reports.words import effect, percent  # noqa: PLC0415

    compared = changes.compared
    if not compared:
        return "nothing was compared"
    judged = {
        "cells": [cell.verdict for cell in compared],
        "families": [family.verdict for family in changes.families if family.shared is not None],
    }
    told = [
        f"{alarms} of {len(verdicts)} {what} ({percent(alarms / len(verdicts))})"
        for what, verdicts in judged.items()
        if verdicts
        for alarms in [sum(each in {Verdict.SLOWER, Verdict.FASTER} for each in verdicts)]
    ]
    detectable = median([cell.ratio.detectable for cell in compared if cell.ratio is not None])
    return (
        f"false alarms: {', '.join(told)}; smallest change that the median cell, looked at alone, "
        f"could have shown: {effect(detectable)}"
    )
