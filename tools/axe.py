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
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=folder
            )
        except subprocess.TimeoutExpired:
            return f"npm did not answer within {SECONDS} s"
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not packages:
            return f"npm: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
        digest = hashlib.sha512(packages[0].read_bytes()).digest()
        if base64.b64encode(digest).decode() != SHA512:
            return f"axe-core {VERSION} is not what it was: its digest differs"
        with tarfile.open(packages[0]) as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                return f"axe-core {VERSION} holds no {MEMBER}"
            text = member.read()
    path().parent.mkdir(parents=True, exist_ok=True)
    partial = path().with_suffix(".partial")
    partial.write_bytes(text)
    partial.replace(path())
    return None


if __name__ == "__main__":
    reason = fetch()
    print(
        f"axe-core: {path() if reason is None else f'not tested with, {reason}'}", file=sys.stderr
    )
