"""Where a history's commits can be looked at: as is said, or as the working directory's repository."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.commits import ask_git
from bench.errors import UserError
from bench.history.series import History
from reports.commit_links import PLACE, Links, digits_of

FORGE = re.compile(
    r"(?:https://|git@|ssh://git@)(git(?:hub|lab)\.com)[:/](.+?)(?:\.git)?/?",
)


def commit_links(given: Sequence[str], history: History) -> Links:
    """Make links of what is given, and of the forge that `origin` names.

    The working directory's repository may be sparsebench's, a plug-in's, or neither's: of what it
    names, only commits that it has are linked.

    Args:
        given: web addresses, with an implementation's name and `=` in front where they are not of
            sparsebench's commits.
        history: whose commits are to be linked.

    Raises:
        UserError: if an address has no place for the commit, or is of an implementation that the
            history does not have.
    """
    addresses = dict(map(_parsed, given))
    names = dict.fromkeys(series.key.implementation for series in history.series)
    for name in addresses:
        if name and name not in names:
            raise UserError(f"--commit-url {name}=...: this history has {', '.join(names)}")
    origin = _address(ask_git(Path.cwd(), "remote", "get-url", "origin").strip())
    return Links(addresses, origin, _known(history) if origin else frozenset())


def _parsed(given: str) -> tuple[str, str]:
    """The name in front, which may be empty, and the address."""
    found = re.fullmatch(r"(?:([^=/]+)=)?(https?://.*)", given)
    if found is None or PLACE not in found[2]:
        raise UserError(
            f"--commit-url is a web address with {PLACE} in it, perhaps with IMPL= in front, not "
            f"{given!r}"
        )
    return found[1] or "", found[2]


def _address(remote: str) -> str:
    """Where a remote's commits can be looked at; empty where that is not known."""
    found = FORGE.fullmatch(remote)
    return f"https://{found[1]}/{found[2]}/commit/{PLACE}" if found else ""


def _known(history: History) -> frozenset[str]:
    """Those commits of a history that the working directory's repository has."""
    named = [run.commit for run in history.runs]
    named += [commit for series in history.series for commit in series.commits]
    asked = sorted({digits_of(commit) for commit in named} - {""})
    told = ask_git(
        Path.cwd(),
        "cat-file",
        "--batch-check=%(objecttype)",
        told="".join(f"{commit}^{{commit}}\n" for commit in asked),
    )
    return frozenset(
        commit for commit, kind in zip(asked, told.splitlines(), strict=False) if kind == "commit"
    )
