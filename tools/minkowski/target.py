"""The environment that MinkowskiEngine is built against, and what it lacks for that."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

PROBE = """
import importlib.util, json, sys, sysconfig
found = {name: importlib.util.find_spec(name) is not None for name in ("numpy", "setuptools", "torch")}
if found["torch"]:
    import torch
print(json.dumps({
    "version": sys.version_info[:2],
    "missing": [name for name, there in found.items() if not there],
    "torch": torch.__version__ if found["torch"] else "",
    "tag": f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}",
    "include": sysconfig.get_paths()["include"],
    "compiler": sysconfig.get_config_var("CXX") or "c++",
}))
"""
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Target:
    """An environment, by its interpreter.

    Attributes:
        python: the interpreter.
        torch: version of its torch.
        tag: interpreter and platform, as in `cpython-311-linux-x86_64`.
        include: folder of Python.h.
        compiler: command that extensions are compiled with.
    """

    python: str
    torch: str
    tag: str
    include: str
    compiler: str


def describe(python: str) -> Target:
    """Ask an interpreter what it is.

    Raises:
        UserError: if it does not run, is too old, or has no torch, numpy or setuptools.
    """
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter that the user named
            [python, "-c", PROBE], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError) as error:
        raise UserError(f"{python} is not a working Python: {error}") from error
    if tuple(found["version"]) < OLDEST_PYTHON:
        version = ".".join(map(str, found["version"]))
        raise UserError(f"{python} is Python {version}; sparsebench needs 3.11 or newer")
    if found["missing"]:
        missing = " ".join(found["missing"])
        raise UserError(f"{python} lacks {missing}: `{python} -m pip install {missing}`")
    compiler = os.environ.get("CXX") or found["compiler"]
    return Target(python, found["torch"], found["tag"], found["include"], compiler)


def check_prerequisites(target: Target) -> None:
    """Look for a compiler, Python's headers and OpenBLAS, by compiling four lines.

    Raises:
        UserError: one line that says what is missing and how to get it.
    """
    missing = []
    if shutil.which(shlex.split(target.compiler)[0]) is None:
        missing.append(f"the C++ compiler {target.compiler} (Debian: apt-get install g++)")
    else:
        if not _compiles(target, "#include <Python.h>\nint main() {}\n", ["-fsyntax-only"]):
            missing.append(f"Python.h in {target.include} (Debian: apt-get install python3-dev)")
        code = "#include <cblas.h>\nint main() { return cblas_sdsdot(0, 0, 0, 0, 0, 0) != 0; }\n"
        if not _compiles(target, code, ["-lopenblas"]):
            missing.append("OpenBLAS with its headers (Debian: apt-get install libopenblas-dev)")
    if missing:
        raise UserError(f"MinkowskiEngine cannot be built without {' and '.join(missing)}")


def _compiles(target: Target, code: str, options: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "probe.cpp"
        source.write_text(code)
        command = [*shlex.split(target.compiler), f"-I{target.include}", str(source)]
        done = subprocess.run(  # noqa: S603  # the compiler of the interpreter that the user named
            [*command, *options, "-o", os.devnull], capture_output=True, check=False
        )
    return done.returncode == 0
