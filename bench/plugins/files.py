"""Python files that a user names: implementations and suites that nobody installed."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType

from bench.errors import UserError, kind_and_line

FOLDERS: list[str] = []
"""Of files that were imported, at the end of `sys.path` for their neighbours, the latest first."""
RELATIVE = "attempted relative import"
"""What Python says of one that has no package to be relative to."""


def names_file(given: str) -> bool:
    """Whether what the user gave is the path of a file, and not a name."""
    return given.endswith(".py") or "/" in given


def existing(path: Path, what: str) -> Path:
    """Return the absolute path of a file.

    Args:
        path: of the file.
        what: it is called in messages.

    Raises:
        UserError: if there is no such file, or no other process can be told its name in UTF-8.
    """
    path = path.resolve()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{what} {str(path)!a} is not named in UTF-8: rename it") from error
    if path.is_dir():
        raise UserError(f"{what} {path} is a folder; name a file in it")
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist")
    return path


def is_imported(path: Path) -> bool:
    """Whether `import_file` has imported a file already."""
    return _module_name(path) in sys.modules


def import_file(path: Path, what: str) -> ModuleType:
    """Import a file by its absolute path, once; what it prints goes to standard error.

    Raises:
        UserError: if it does not import.
    """
    module_name = _module_name(path)
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{what} {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    _find_neighbours_in(str(path.parent))
    try:
        with redirect_stdout(sys.stderr), same_folder():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, ImportError) and RELATIVE in str(error):
            raise UserError(
                f"{what} {path} imports relatively, but is found by its path and has no package: "
                f"write absolute imports"
            ) from None
        raise UserError(f"{what} {path} does not import: {kind_and_line(error)}") from error
    return module


def path_without_folders() -> list[str]:
    """Where modules are found, but for the neighbours of imported files.

    A process that imports another version of such a file is to find that one's neighbours.
    """
    return [each for each in sys.path if isinstance(each, str) and each not in FOLDERS]


def _find_neighbours_in(folder: str) -> None:
    """Have modules found in a folder, before other files' neighbours and after everything else."""
    path = path_without_folders()
    if folder not in path:
        FOLDERS[:] = [folder, *(each for each in FOLDERS if each != folder)]
    sys.path[:] = [*path, *FOLDERS]


@contextmanager
def same_folder() -> Iterator[None]:
    """Come back to the working directory, if a module that is imported leaves it."""
    try:
        before = Path.cwd()
    except OSError:  # it was removed
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(before)


def _module_name(path: Path) -> str:
    return f"sparsebench_plugin_{path.stem}_{abs(hash(str(path))):x}"
