"""At which commit files are: sparsebench's own, and those of whoever has a repository of their own."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve()
DIGITS = 12
PATIENCE_SECONDS = 10
DIRTY = "+dirty"
GIT_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_WORK_TREE",
    }
)
"""Variables by which git's hooks name the repository that they are run for, and what of it."""


def own_commit() -> str:
    """Commit of sparsebench's checkout, with `+dirty` where it has changes; empty outside of git."""
    root = _root(HERE)
    return _head(root) if root is not None and _tracked(root, [HERE]) else ""


def commits_of(files: Iterable[Path]) -> dict[Path, str]:
    """Commits of the repositories that files lie in, with `+dirty` where one has changes.

    Any change of a file that git tracks counts: what a kernel is made of may lie anywhere in its
    repository. Every repository is asked once.

    Args:
        files: absolute paths without symbolic links.

    Returns:
        By file; without those that git does not track, such as what is installed below a checkout, and
        without those of sparsebench's own checkout.
    """
    own = _root(HERE)
    by_root: dict[Path, list[Path]] = {}
    for file in dict.fromkeys(files):
        root = _root(file)
        if root is not None:
            by_root.setdefault(root, [HERE] if root == own else []).append(file)
    found: dict[Path, str] = {}
    for root, asked in by_root.items():
        tracked = _tracked(root, asked)
        if tracked and HERE not in tracked and (head := _head(root)):
            found |= dict.fromkeys(tracked, head)
    return found


def moved(earlier: Mapping[str, str], later: Mapping[str, str]) -> dict[str, str]:
    """Who is known to be at another commit than earlier, by name, with the earlier one."""
    return {name: at for name, at in earlier.items() if later.get(name, at) != at}


def short(commit: str) -> str:
    """A commit's first digits, and whether there were changes beside it."""
    digits, plus, changed = commit.partition("+")
    return f"{digits[:DIGITS]}{plus}{changed}"


def _root(file: Path) -> Path | None:
    """Root of the repository around a file, found without git."""
    # Path.exists() raises where a folder may not be looked into.
    return next((each for each in file.parents if os.path.exists(each / ".git")), None)  # noqa: PTH110


def _tracked(root: Path, files: Iterable[Path]) -> list[Path]:
    """Those of some files that git tracks."""
    names = [str(file.relative_to(root)) for file in files]
    told = ask_git(root, "--literal-pathspecs", "ls-files", "-z", "--", *names)
    return [root / name for name in told.split("\0") if name]


def _head(root: Path) -> str:
    """A repository's commit, with `+dirty` where tracked files were changed; empty before its first."""
    # A file that git does not know, such as a run file, changes nothing that was committed.
    told = ask_git(
        root, "status", "--porcelain=v2", "--branch", "--no-ahead-behind", "--untracked-files=no"
    )
    about = [line.split() for line in told.splitlines() if line.startswith("#")]
    commit = next((words[2] for words in about if words[1] == "branch.oid"), "(initial)")
    if commit == "(initial)":
        return ""
    return commit[:DIGITS] + (DIRTY if len(about) < len(told.splitlines()) else "")


def git_environment() -> dict[str, str]:
    """Variables for a git that is to find the repository around its folder, also within a hook."""
    return {name: text for name, text in os.environ.items() if name not in GIT_VARIABLES}


def ask_git(root: Path, *arguments: str, told: str = "") -> str:
    """What git answers about the repository around a folder; nothing where it is missing or refuses.

    Nor where it takes longer than `PATIENCE_SECONDS`.

    Args:
        root: the folder.
        arguments: of git.
        told: on its standard input.
    """
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "--no-optional-locks", "-C", str(root), *arguments],  # noqa: S607
            input=os.fsencode(told),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=True,
            env=git_environment(),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return os.fsdecode(done.stdout)
