"""From the published source to a wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from bench.errors import UserError
from bench.files import written_whole
from tools.minkowski.target import Target

VERSION = "0.5.4"
DIGEST = "b1879c00d0b0b1d30ba622cce239886a7e3c78ee9da1064cdfe2f64c2ab15f94"
RECIPE = 1
"""Raised when what is done to the source changes: wheels of another recipe are not used."""

SOURCES = (
    "math_functions_cpu",
    "coordinate_map_manager",
    "convolution_cpu",
    "convolution_transpose_cpu",
    "local_pooling_cpu",
    "local_pooling_transpose_cpu",
    "global_pooling_cpu",
    "broadcast_cpu",
    "pruning_cpu",
    "interpolation_cpu",
    "quantization",
    "direct_max_pool",
)
"""What the library's own setup.py compiles for a CPU, each apart, in five times the time."""

MOVED = "from collections.abc import Sequence\n"

SETUP = f'''"""In place of the library's own, which has the first pip on PATH uninstall it."""

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

setup(
    name="MinkowskiEngine",
    version="{VERSION}",
    packages=["MinkowskiEngine", "MinkowskiEngine.utils", "MinkowskiEngine.modules"],
    install_requires=["torch", "numpy"],
    ext_modules=[
        CppExtension(
            "MinkowskiEngineBackend._C",
            ["everything.cpp"],
            include_dirs=[".", "src", "src/3rdparty"],
            libraries=["openblas"],
            extra_compile_args=["-O3", "-g0", "-fopenmp", "-DCPU_ONLY"],
        )
    ],
    cmdclass={{"build_ext": BuildExtension.with_options(use_ninja=False)}},
)
'''


def wheel_folder(target: Target, cache: Path) -> Path:
    """Where the wheel for an environment is kept."""
    against = f"torch-{target.torch}-{target.tag}-source-{DIGEST[:12]}-recipe-{RECIPE}"
    return cache / against


def cached_wheel(target: Target, cache: Path) -> Path | None:
    """The wheel that was built for an environment before, or None."""
    return next(wheel_folder(target, cache).glob("*.whl"), None)


def build_wheel(target: Target, cache: Path) -> Path:
    """Download, check, prepare and compile the source; keep the wheel.

    Raises:
        UserError: if the download or the compiler fails.
    """
    with tempfile.TemporaryDirectory(prefix="minkowski-") as name:
        folder = Path(name)
        source = unpack(download(folder), folder / "source")
        prepare(source)
        _run_pip(
            "MinkowskiEngine does not compile",
            *("wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir"),
            *("--wheel-dir", str(folder / "wheel"), str(source)),
        )
        (built,) = (folder / "wheel").glob("*.whl")
        kept = wheel_folder(target, cache) / built.name
        with built.open("rb") as compiled, written_whole(kept) as whole:
            shutil.copyfileobj(compiled, whole)
    return kept


def download(folder: Path) -> Path:
    """Have pip fetch the source from wherever it is set up to look, and check its digest.

    pip also runs the library's setup.py to read its metadata, after the digest was checked. That runs
    `pip uninstall`, for which it is given a pip that does nothing.

    Raises:
        UserError: if there is no such source, or it is not the published one.
    """
    harmless = folder / "bin" / "pip"
    harmless.parent.mkdir()
    harmless.write_text("#!/bin/sh\n")
    harmless.chmod(0o755)
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"MinkowskiEngine=={VERSION} --hash=sha256:{DIGEST}"
        ' --config-settings="--global-option=--blas=openblas"'
        ' --config-settings="--global-option=--cpu_only"\n'
    )
    _run_pip(
        f"MinkowskiEngine {VERSION} cannot be downloaded",
        *("download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"),
        *("--require-hashes", "--dest", str(folder), "--requirement", str(requirements)),
        path=f"{harmless.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    )
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the source and return its top folder."""
    with tarfile.open(archive) as opened:
        opened.extraction_filter = getattr(tarfile, "data_filter", None)  # new in Python 3.11.4
        opened.extractall(folder)  # noqa: S202  # its digest was checked
    (top,) = folder.iterdir()
    return top


def prepare(source: Path) -> None:
    """Make the library one translation unit, and fit for Python 3.10 and later."""
    lines = [f'#include "src/{name}.cpp"' for name in SOURCES]
    lines.append('#include "pybind/minkowski.cpp"')
    (source / "everything.cpp").write_text("\n".join(lines) + "\n")
    (source / "setup.py").write_text(SETUP)
    for path in (source / "MinkowskiEngine").rglob("*.py"):
        path.write_text(
            path.read_text()
            .replace("from collections import Sequence, ", MOVED + "from collections import ")
            .replace("from collections import Sequence\n", MOVED)
        )


def install(wheel: Path) -> None:
    """Install a wheel, and import it once.

    Raises:
        UserError: if either fails.
    """
    _run_pip(
        f"{wheel} cannot be installed",
        *("install", "--no-deps", "--force-reinstall", str(wheel)),
    )
    error = why_not_importable()
    if error is not None:
        raise UserError(f"{wheel} is installed, but: {error}; `--rebuild` builds it anew")


def why_not_importable() -> str | None:
    """What is said when this version is imported, or None where it can be."""
    code = f"import MinkowskiEngine as engine; assert engine.__version__ == {VERSION!r}"
    done = subprocess.run(  # noqa: S603  # this interpreter
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


def _run_pip(failure: str, *arguments: str, path: str | None = None) -> None:
    """Run pip.

    Raises:
        UserError: with the first error that pip names.
    """
    command = [sys.executable, "-m", "pip"]
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if path is not None:
        environment["PATH"] = path
    done = subprocess.run(  # noqa: S603  # pip
        [*command, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{failure}: {_gist(done.stderr or done.stdout)}")


def _gist(text: str) -> str:
    """The first line that names an error, pip's announcement of one left out."""
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if "error" in line.lower() and "subprocess-exited" not in line]
    return (named or lines or ["no message"])[0]
