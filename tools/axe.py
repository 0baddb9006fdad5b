"""`python -m tools.axe`: fetch axe-core, which finds faults of accessibility, for the browser tests.

It comes from the npm registry through npm itself, is checked by digest, and lies in the user's cache.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from bench.files import written_whole

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""Of the package, as the registry states it."""
MEMBER = "package/axe.min.js"
SECONDS = 120


def path() -> Path:
    """Return where the script lies once it is fetched."""
    return Path(platformdirs.user_cache_dir("sparsebench")) / f"axe-{VERSION}.min.js"


def fetch() -> str | None:
    """Fetch the script if it is not there; return why it cannot be had, or nothing."""
    if path().exists():
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            text = _script(_download(Path(folder)))
    except _UnavailableError as error:
        return str(error)
    try:
        with written_whole(path()) as file:
            file.write(text)
    except OSError as error:
        return f"{path()} cannot be written: {error.strerror}"
    return None


class _UnavailableError(Exception):
    """The script cannot be had; says why."""


def _download(folder: Path) -> Path:
    """Let npm fetch the package."""
    npm = shutil.which("npm")
    if npm is None:
        raise _UnavailableError("npm is not installed")
    command = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise _UnavailableError(f"npm did not answer within {SECONDS} s") from error
    package = next(folder.glob("*.tgz"), None)
    if done.returncode != 0 or package is None:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise _UnavailableError(f"npm: {last}")
    return package


def _script(package: Path) -> bytes:
    """Check the package and take the script out of it."""
    digest = hashlib.sha512(package.read_bytes()).digest()
    if base64.b64encode(digest).decode() != SHA512:
        raise _UnavailableError(f"axe-core {VERSION} is not what it was: its digest differs")
    with tarfile.open(package) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise _UnavailableError(f"axe-core {VERSION} holds no {MEMBER}")
        return member.read()


if __name__ == "__main__":
    reason = fetch()
    said = path() if reason is None else f"not tested with: {reason}"
    print(f"axe-core: {said}", file=sys.stderr)  # noqa: T201
