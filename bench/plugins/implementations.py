"""Finds implementations: by entry point, or by the path of their file.

A broken plug-in that is merely installed is listed as broken and stops nothing; one that the user
named is the user's to mend. Two that share a name are an error: results could not be told apart.
"""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

from bench.errors import UserError, kind_and_line
from bench.implementation import Implementation
from bench.phases import Phase
from bench.plugins.files import existing, import_file, is_imported, names_file, same_folder
from bench.plugins.installed import IMPLEMENTATIONS, NAME, Broken, Reference, installed_entries
from bench.plugins.trial import how_it_ends

OWN_PACKAGE = "sparsebench"
VERSION_DIGITS = 8
ATTRIBUTES = {"version": str, "origin": str, "starts_dense": bool, "deterministic": bool}
"""Attributes that run files hold, and their types; `timed_region` has keys of its own."""


def installed() -> tuple[list[Reference], list[Broken]]:
    """Every implementation that is installed, and those that are broken.

    Raises:
        UserError: if two entry points share a name.
    """
    found, broken = [], []
    for entry in installed_entries(IMPLEMENTATIONS).values():
        ending = _ending_of(entry)
        if ending is not None:
            broken.append(Broken(entry.name, entry.value, f"the process that imports it {ending}"))
            continue
        try:
            _from_entry_point(entry.name, entry.value)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in may even exit
            broken.append(Broken(entry.name, entry.value, kind_and_line(error)))
        else:
            found.append(Reference(entry.name, entry.value))
    return found, broken


def choose(wanted: list[str] | None) -> tuple[list[Reference], list[Broken]]:
    """Resolve what the user asked for: names, paths of files, or everything that is installed.

    Raises:
        UserError: if a name is unknown or broken, a file cannot be used, or a name repeats.
    """
    if not wanted:
        return installed()
    known = installed_entries(IMPLEMENTATIONS)
    chosen: list[Reference] = []
    for item in wanted:
        if names_file(item):
            chosen.extend(references_in(Path(item)))
        elif item in known:
            reference = Reference(item, known[item].value)
            ending = _ending_of(known[item])
            if ending is not None:
                raise UserError(
                    f"implementation {item!r} is broken: the process that imports it {ending}"
                )
            try:
                load(reference)
            except UserError:
                raise
            except (Exception, SystemExit) as error:
                raise UserError(
                    f"implementation {item!r} is broken: {kind_and_line(error)}"
                ) from error
            chosen.append(reference)
        else:
            names = ", ".join(known) or "none"
            raise UserError(
                f"unknown implementation {item!r}; installed: {names}; a file needs its path, as in "
                f"--impl path/to/file.py"
            )
    _check_once_each(chosen)
    return chosen, []


def _check_once_each(chosen: list[Reference]) -> None:
    """Refuse a name that comes twice."""
    seen: dict[str, Reference] = {}
    for reference in chosen:
        other = seen.setdefault(reference.name, reference)
        if other is not reference and other == reference:
            raise UserError(f"implementation {reference.name!r} is named twice")
        if other is not reference:
            raise UserError(
                f"two implementations are called {reference.name!r}: {other.source} and "
                f"{reference.source}; rename one"
            )


def load(reference: Reference) -> Implementation:
    """Make the implementation that a reference points to."""
    if not reference.is_file:
        return _from_entry_point(reference.name, reference.source)
    for kind in _classes(_module_in(Path(reference.source)), Path(reference.source)):
        if kind.name == reference.name:
            return _made(kind)
    raise UserError(f"{reference.source} no longer has an implementation {reference.name!r}")


def source_of(implementation: Implementation) -> Path | None:
    """The file that an implementation's class is defined in, where there is one."""
    file = getattr(sys.modules.get(type(implementation).__module__), "__file__", None)
    return Path(file).resolve() if file else None


def references_in(path: Path) -> list[Reference]:
    """Every implementation that a plug-in file defines.

    Raises:
        UserError: if the file is missing, does not import, defines none, takes an installed name, or
            has one that cannot be made.
    """
    path = existing(path, "plug-in file")
    if not is_imported(path):
        ending = how_it_ends(lambda: list(map(_made, _classes(_module_in(path), path))))
        if ending is not None:
            raise UserError(f"plug-in file {path}: the process that imports it {ending}")
    classes = _classes(_module_in(path), path)
    taken = installed_entries(IMPLEMENTATIONS)
    for kind in classes:
        if kind.name in taken:
            raise UserError(
                f"{path} calls an implementation {kind.name!r}, and so does "
                f"{taken[kind.name].value}; rename it"
            )
    names = [kind.name for kind in classes]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has two implementations called {repeated!r}; rename one")
    for kind in classes:
        try:
            _made(kind)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        except (Exception, SystemExit) as error:
            raise UserError(
                f"{path}: class {kind.__name__} cannot be made: {kind_and_line(error)}"
            ) from error
    return [Reference(name, str(path), is_file=True) for name in names]


def _ending_of(entry: EntryPoint) -> str | None:
    """How a process ends that imports somebody else's plug-in; None if it survives, or it is ours."""
    if entry.dist is not None and entry.dist.name == OWN_PACKAGE:
        return None
    return how_it_ends(lambda: _from_entry_point(entry.name, entry.value))


def _from_entry_point(name: str, value: str) -> Implementation:
    with redirect_stdout(sys.stderr), same_folder():
        kind = EntryPoint(name, value, IMPLEMENTATIONS).load()
    if not (inspect.isclass(kind) and issubclass(kind, Implementation)):
        raise UserError(f"{value} is not a subclass of bench.implementation.Implementation")
    if kind.name != name:
        raise UserError(f"{value} calls itself {kind.name!r}, its entry point {name!r}")
    return _made(kind)


def _made(kind: type[Implementation]) -> Implementation:
    """Make an implementation; what it prints goes to standard error.

    Raises:
        UserError: if it says of itself what no run file could hold.
    """
    with redirect_stdout(sys.stderr):
        implementation = kind()
    said = f"class {kind.__name__} has"
    for name, wanted in ATTRIBUTES.items():
        value = getattr(implementation, name)
        if not isinstance(value, wanted):
            raise UserError(f"{said} {name} = {value!r}, which is not of type {wanted.__name__}")
    region = implementation.timed_region
    if not isinstance(region, Mapping):
        raise UserError(f"{said} timed_region = {region!r}, which maps no phases to words")
    for phase, words in region.items():
        if phase not in list(Phase):
            raise UserError(f"{said} {phase!r} in timed_region; phases: {', '.join(Phase)}")
        if not isinstance(words, str):
            raise UserError(f"{said} {words!r} for {phase} in timed_region; it takes words")
    return implementation


def _module_in(path: Path) -> ModuleType:
    return import_file(path, "plug-in file")


def _classes(module: ModuleType, path: Path) -> list[type[Implementation]]:
    own = [
        kind
        for kind in dict.fromkeys(filter(inspect.isclass, vars(module).values()))
        if issubclass(kind, Implementation) and kind.__module__ == module.__name__
    ]
    whole = [kind for kind in own if not inspect.isabstract(kind)]
    if own and not whole:
        missing = ", ".join(sorted(getattr(own[0], "__abstractmethods__", ())))
        raise UserError(f"{path}: class {own[0].__name__} lacks {missing}")
    for kind in whole:
        name = getattr(kind, "name", None)
        if not isinstance(name, str) or not name:
            raise UserError(f'{path}: class {kind.__name__} has no name; give it `name = "..."`')
        if not NAME.fullmatch(name):
            raise UserError(
                f"{path}: class {kind.__name__} is called {name!r}; a name has letters, digits, "
                f"`_`, `-`, `.` and `+` only"
            )
    if not whole:
        raise UserError(
            f"{path} has no class that derives from bench.implementation.Implementation"
        )
    for kind in whole:
        if kind.version == Implementation.version:  # it says nothing of its own
            kind.version = hashlib.sha256(path.read_bytes()).hexdigest()[:VERSION_DIGITS]
    return whole
