"""What MinkowskiEngine is built against, in this environment, and what that lacks for it."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.errors import UserError


@dataclass(frozen=True)
class Target:
    """What a wheel depends on.

    Attributes:
        torch: its version.
        tag: interpreter and platform, as in `cpython-311-linux-x86_64`.
        include: folder of Python.h.
        compiler: command that extensions are compiled with.
    """

    torch: str
    tag: str
    include: str
    compiler: str


def describe() -> Target:
    """Describe this environment."""
    compiler = os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++"
    tag = f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
    return Target(torch.__version__, tag, sysconfig.get_paths()["include"], compiler)


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
        done = subprocess.run(  # noqa: S603  # the interpreter's compiler
            [*command, *options, "-o", os.devnull], capture_output=True, check=False
        )
    return done.returncode == 0
