"""Libraries that need not be installed: imported late and quietly, or said in words why not."""

import importlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from bench.errors import kind_and_line


@dataclass(frozen=True)
class OptionalLibrary:
    """A library that an implementation calls.

    Attributes:
        name: how its authors write it.
        module: what is imported; its first part has `__version__`.
        version: the one that the implementation was proved right with.
        cure: the command that installs it.
        works: tells of the imported module whether a small example comes out right.
    """

    name: str
    module: str
    version: str
    cure: str
    works: Callable[[ModuleType], bool]

    def load(self) -> ModuleType:
        """Import it.

        Raises:
            ImportError: if it is missing, or was built for another torch.
        """
        return _import(self.module)

    def why_unusable(self) -> str | None:
        """Say in words why it cannot be used and what cures that, or return None."""
        return _why_unusable(self)


@cache
def _import(name: str) -> ModuleType:
    with _quietly():
        return importlib.import_module(name)


@cache
def _why_unusable(library: OptionalLibrary) -> str | None:
    name, cure = library.name, f"`{library.cure}` installs it"
    try:
        module = _import(library.module)
        found = str(getattr(_import(library.module.split(".")[0]), "__version__", "of no version"))
    except ModuleNotFoundError as error:
        if error.name == library.module.split(".")[0]:
            return f"{name} is not installed; {cure}"
        return f"{name} lacks the module {error.name}; {cure}"
    except Exception as error:  # noqa: BLE001  # whatever its code runs into when it is imported
        what = kind_and_line(error)
        return f"{name} does not import ({what}), as when built for another torch; {cure}"
    if found != library.version:
        return f"{name} {found} is installed, and {library.version} was proved right; {cure}"
    try:
        with _quietly():
            right, how = library.works(module), "a small convolution comes out wrong"
    except Exception as error:  # noqa: BLE001  # likewise
        right, how = False, kind_and_line(error)
    return None if right else f"{name} {found} fails its self-check: {how}; {cure}"


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what an import warns of, logs and writes to the environment away from everyone else."""
    environment = dict(os.environ)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(environment)
