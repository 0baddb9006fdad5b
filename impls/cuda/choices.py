"""What was chosen by measuring, kept on disk: a file for each GPU, driver and state of the kernels."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from bench.files import written_whole
from impls.cuda.trials import MOST_DEATHS, Trials

VARIABLE = "SPARSEBENCH_TUNING"
"""Environment variable: the folder of these files, or `off` for the fixed rules."""
OFF = "off"
HANGS = "processes died while they tried it, as when a kernel hangs and they are killed"


@dataclass(frozen=True)
class Choice:
    """What measuring found.

    Attributes:
        shape: the chosen one, in words.
        microseconds: median of each shape that was timed to the end.
        rejected: what was wrong, by shape.
    """

    shape: str
    microseconds: Mapping[str, float] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)


class Choices:
    """Choices by problem, as a process knows them, and kernels that are not to be tried again.

    Several processes may share the file: each writes it anew as a whole, with what it finds there.
    Where the file cannot be written, or is not one of these, this process still knows its own.

    Args:
        folder: of the file.
        facts: what the choices hold for, such as the GPU; they name the file.
    """

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        self.facts = dict(facts)
        name = re.sub(r"[^A-Za-z0-9.]+", "_", "-".join(facts.values()))
        self.path = folder / f"{name}.json"
        self._known, self._fatal = self._read()
        self._trials = Trials(folder, self.path.stem)

    def find(self, problem: str) -> Choice | None:
        """What was chosen for a problem, in this process or an earlier one."""
        return self._known.get(problem)

    def keep(self, problem: str, choice: Choice) -> None:
        """Know a choice from now on, and write it where that is possible."""
        self._known[problem] = choice
        self._save()

    def fatal(self, kernel: str) -> str | None:
        """What a kernel did to the GPU or the process of who tried it, here or earlier."""
        if kernel not in self._fatal and self._trials.deaths(kernel) > MOST_DEATHS:
            self._fatal[kernel] = HANGS
            if self._save():
                self._trials.forget(kernel)
        return self._fatal.get(kernel)

    def trial(self, kernel: str, what: str) -> AbstractContextManager[None]:
        """Leave word on disk of what is being tried, as long as the context lasts."""
        return self._trials.of(kernel, what)

    def fear(self, kernel: str, fault: str) -> None:
        """Know that a kernel is not to be tried again, and write it where that is possible."""
        self._fatal[kernel] = fault
        self._save()

    def _save(self) -> bool:
        """Whether it was possible."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_in(self.path.parent):
                known, fatal = self._read()
                self._known, self._fatal = known | self._known, fatal | self._fatal
                content = {
                    "for": self.facts,
                    "choices": {key: asdict(each) for key, each in sorted(self._known.items())},
                    "fatal": self._fatal,
                }
                with written_whole(self.path) as file:
                    file.write(json.dumps(content, indent=1).encode() + b"\n")
                return True
        return False

    def _read(self) -> tuple[dict[str, Choice], dict[str, str]]:
        try:
            content = json.loads(self.path.read_bytes())
            if content["for"] != self.facts:
                return {}, {}
            known = {problem: _choice(each) for problem, each in content["choices"].items()}
            return known, {kernel: str(each) for kernel, each in content["fatal"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}, {}  # none yet, or none of these: measured again, and written anew


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from reading and writing at the same time, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def folder() -> Path | None:
    """Where choices are kept; None where nothing is to be chosen by measuring."""
    named = os.environ.get(VARIABLE)
    if named == OFF:
        return None
    if named:
        return Path(named)
    return user_cache_path("sparsebench") / "tuning"


def _choice(found: dict[str, Any]) -> Choice:
    """Of what a file holds.

    Raises:
        TypeError: if it holds something else.
    """
    choice = Choice(**found)
    if not isinstance(choice.shape, str):
        raise TypeError(f"a shape in words was expected, not {choice.shape!r}")
    return choice
