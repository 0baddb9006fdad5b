"""Git repositories of a test's own."""

import subprocess
from pathlib import Path

from bench.commits import git_environment


def git(folder: Path, *words: str) -> str:
    """What git answers in a folder."""
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    command = ["git", "-C", str(folder), *identity, *words]
    # A hook that runs the tests has git know whose it is.
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=git_environment()
    )
    return done.stdout.strip()


def committed(folder: Path, text: str = "", name: str = "known.py") -> str:
    """Commit a file with that text, in a repository that is made where there is none."""
    folder.mkdir(exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "commit", "-q", "--allow-empty", "-m", text[:20] or "as it is")
    return git(folder, "rev-parse", "--short=12", "HEAD")
