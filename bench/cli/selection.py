"""What a user names on the command line, checked."""

import fnmatch
import shlex

from bench.cli.names import split
from bench.dtypes import torch_dtype
from bench.errors import UserError
from bench.phases import Phase
from bench.workload import Suite, Workload


def phases(names: str | None, default: tuple[Phase, ...]) -> tuple[Phase, ...]:
    """Return the phases of these names, in their own order.

    Raises:
        UserError: if one is unknown.
    """
    wanted = split(names)
    if wanted is None:
        return default
    for name in wanted:
        if name not in set(Phase):
            raise UserError(f"unknown phase {name!r}; the phases are {', '.join(Phase)}")
    return tuple(phase for phase in Phase if phase in wanted)


def dtypes(names: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the element types of these names.

    Raises:
        UserError: if one is unknown.
    """
    wanted = tuple(dict.fromkeys(split(names) or default))
    for name in wanted:
        torch_dtype(name)
    return wanted


def shard(chosen: tuple[Workload, ...], part: tuple[int, int] | None) -> tuple[Workload, ...]:
    """Return the I-th of N parts of the workloads: every N-th, so that parts are about as long.

    Raises:
        UserError: if there are fewer workloads than parts.
    """
    if part is None:
        return chosen
    number, count = part
    if count > len(chosen):
        raise UserError(f"{len(chosen)} workloads cannot be split into {count} parts")
    return chosen[number - 1 :: count]


def workloads(suite: Suite, patterns: str | None) -> tuple[Workload, ...]:
    """Return the workloads of a suite whose names are, or match, any of the patterns.

    Raises:
        UserError: if a pattern matches none.
    """
    every = suite.workloads()
    wanted = split(patterns)
    if wanted is None:
        return every
    chosen = []
    for pattern in wanted:
        named = [workload for workload in every if workload.name == pattern]  # as `pool[x]` is
        matching = named or [each for each in every if fnmatch.fnmatchcase(each.name, pattern)]
        if not matching:
            raise UserError(
                f"no workload of suite {suite.name!r} matches {pattern!r}; "
                f"`sparsebench list {shlex.quote(suite.source)}` shows them"
            )
        chosen += matching
    return tuple(dict.fromkeys(chosen))
