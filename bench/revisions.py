"""Revisions of this project, or of a repository of plug-in files, checked out for `sparsebench ab`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.commits import git_environment
from bench.errors import UserError
from bench.temporary import TemporaryFolder

PROJECT = Path(__file__).resolve().parent.parent
LOCK_STEP = Path("bench/measure/turns.py")
"""What a checkout has whose workers can take turns."""


@dataclass(frozen=True)
class Revision:
    """One side of the comparison.

    Attributes:
        name: as the user called it.
        commit: in full, with `+dirty` for a working tree with changes.
        folder: root of its checkout.
        plugins: root of the checkout whose plug-in files it has in another version; None where it is
            a revision of this project.
    """

    name: str
    commit: str
    folder: Path
    plugins: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a checkout's processes find in their environment besides.

        Extensions that torch compiles when they are loaded are kept by name: each checkout has its own.
        """
        if self.folder in {PROJECT, self.plugins}:
            return {}
        return {"TORCH_EXTENSIONS_DIR": str(self.folder.parent / "extensions")}

    def words(self, error: UserError) -> str:
        """What is wrong, without the folder of the checkout, which is gone by then."""
        return str(error).replace(f"{self.folder}{os.sep}", "")


@contextmanager
def checked_out(
    revision: str | None, project: Path = PROJECT, *, plugins: bool = False, build: str = ""
) -> Iterator[Revision]:
    """Check a revision out into a folder that goes away afterwards; the working tree stays for None.

    Args:
        revision: commit, branch or tag.
        project: the checkout whose history is meant.
        plugins: whether that is a repository of plug-in files, and no checkout of this project.
        build: command of a shell, run in the checkout before anything is imported from it.

    Raises:
        UserError: if there is no such revision, it cannot be built, or it cannot take turns.
    """
    if plugins:
        project = Path(_git(project, "rev-parse", "--show-toplevel"))
    others = project if plugins else None
    if revision is None:
        changed = _git(project, "status", "--porcelain", "--untracked-files=no")
        dirty = "+dirty" if changed else ""
        commit = _git(project, "rev-parse", "HEAD") + dirty
        _build(build, project, "the working tree")
        yield Revision("working tree", commit, project, others)
        return
    commit = _commit_of(project, revision)
    with TemporaryFolder("sparsebench-ab-") as parent:
        folder = parent / commit[:12]
        _git(project, "worktree", "add", "--detach", str(folder), commit)
        try:
            if not plugins and not (folder / LOCK_STEP).exists():
                raise UserError(f"cannot run at {revision}: its workers cannot take turns yet")
            _build(build, folder, revision)
            yield Revision(revision, commit, folder, others)
        finally:
            with suppress(UserError):  # the folder goes in any case, and git forgets it then
                _git(project, "worktree", "remove", "--force", str(folder))


def _build(command: str, folder: Path, revision: str) -> None:
    """Run the user's command in a checkout.

    Raises:
        UserError: if it fails.
    """
    if not command:
        return
    done = subprocess.run(  # noqa: S602  # the user's own
        command, shell=True, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(
            f"cannot build {revision}: `{command}` ended with exit status {done.returncode}: {words}"
        )


def _commit_of(project: Path, revision: str) -> str:
    _git(project, "rev-parse", "--git-dir")  # says why, where git is missing or refuses the folder
    try:
        return _git(project, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except UserError:
        raise UserError(
            f"unknown revision {revision!r}: name a commit, a branch or a tag"
        ) from None


def _git(project: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            # The user's hooks have no business in a checkout that is made to be measured.
            ["git", "-c", f"core.hooksPath={os.devnull}", "-C", str(project), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            env=git_environment(),
        )
    except FileNotFoundError:
        raise UserError("git is missing: revisions cannot be checked out") from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"git {arguments[0]}: {words[-1]}") from error
    return done.stdout.strip()
