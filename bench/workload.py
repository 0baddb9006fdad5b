"""What is measured: a network on an input, as plain data with a version hash."""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

import msgspec

from bench.background import Background
from bench.batch import SparseBatch
from bench.errors import UserError
from bench.ground_state import why_no_ground_state
from bench.network import Network
from bench.phases import Phase

DEFINITION = 1
"""Raised when the harness itself changes what a workload means: weights, loss, features."""


NOT_DEFINING = {"defines": False}
"""Metadata of a dataclass's field that is no part of a definition, such as where a file lies."""


class Input(Protocol):
    """Where a workload's sparse batch comes from: a frozen dataclass, so that it can be hashed.

    A class attribute `version` is raised whenever the same fields come to mean other sites.
    """

    @property
    def version(self) -> int:
        """Version of the generator or loader."""
        ...

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Make the batch, float32 on the CPU, with features of the given number of channels.

        Raises:
            UserError: if data that it needs is missing or damaged.
        """
        ...


@dataclass(frozen=True)
class Workload:
    """One thing to measure every implementation on.

    Attributes:
        name: unique within its suite; made of words a reader can take apart.
        network: what is computed.
        input: the sites.
        channels: of the input.
        seed: of features and weights.
        group: workloads that differ in one thing only, for curves: the name of what they share.
        position: that one thing, as a number; orders the group.
        axis: what the position counts: `density`, `grid size`, `batch size`, ...
        background: what inactive sites hold between the layers of the network.
    """

    name: str
    network: Network
    input: Input
    channels: int
    seed: int = 0
    group: str = ""
    position: float = 0.0
    axis: str = "density"
    background: Background = Background.ZERO

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise UserError(
                f"workload {self.name!r}: {type(self.network).__name__} is no bench.network.Network; "
                f"bench.network.single makes one of a single operator"
            )
        for layer in self.network.layers:
            window = getattr(layer.operator, "window", None)
            if window is not None and window.dimensions not in {2, 3}:
                raise UserError(
                    f"workload {self.name!r}: layer {layer.name!r} has {window.dimensions} spatial "
                    f"axes; grids are 2D or 3D"
                )
        self._check_numbers()
        for what, word in (("group", self.group), ("axis", self.axis)):
            if not isinstance(word, str):
                raise UserError(f"workload {self.name!r}: its {what} is a word, not {word!r}")
        if self.background is Background.GROUND_STATE:
            reason = why_no_ground_state(self.network)
            if reason is not None:
                raise UserError(f"workload {self.name!r} has no ground state to keep: {reason}")

    def _check_numbers(self) -> None:
        """Make NumPy's numbers Python's, which a run file can hold."""
        for what, least, most in (("channels", 1, 2**31), ("seed", -(2**63), 2**63)):
            number = getattr(self, what)
            if not isinstance(number, Integral) or not least <= int(number) < most:
                raise UserError(
                    f"workload {self.name!r}: {what} {number!r} is no whole number from {least} to "
                    f"{most - 1}"
                )
            object.__setattr__(self, what, int(number))
        position = self.position
        if not isinstance(position, Real) or not math.isfinite(position):
            raise UserError(f"workload {self.name!r}: position {position!r} is no finite number")
        whole = isinstance(position, Integral)
        object.__setattr__(self, "position", int(position) if whole else float(position))

    def definition(self) -> dict[str, Any]:
        """Everything that defines the workload, as plain data.

        Raises:
            UserError: if its input cannot be told from others.
        """
        if isinstance(self.input, type) or not dataclasses.is_dataclass(self.input):
            raise UserError(f"workload {self.name!r}: its input {self.input!r} is no dataclass")
        return {
            "definition": DEFINITION,
            "network": plain(self.network),
            "input": plain(self.input) | {"version": self.input.version},
            "channels": self.channels,
            "seed": self.seed,
            "background": self.background,
        }

    def version(self) -> str:
        """Hash of the definition: results of different versions are never compared."""
        return version_of(self.definition())


@dataclass(frozen=True)
class Suite:
    """A named collection of workloads, with the settings that suit it.

    Attributes:
        name: as in `sparsebench run NAME`.
        description: one sentence.
        workloads: makes the workloads; called when the suite is used.
        dtypes: element types measured unless the user names others.
        phases: phases timed unless the user names others.
        seconds: budget of one phase of one workload in one process, unless the user sets it.
        processes: fresh processes a workload, unless the user sets it.
        file: absolute path of the file that it was loaded from; empty for one that is installed.
    """

    name: str
    description: str
    workloads: Callable[[], tuple[Workload, ...]]
    dtypes: tuple[str, ...] = ("float32",)
    phases: tuple[Phase, ...] = tuple(Phase)
    seconds: float = 1.0
    processes: int = 3
    file: str = ""

    @property
    def source(self) -> str:
        """What it is loaded by in another process: its file, or else its name."""
        return self.file or self.name

    def find(self, name: str) -> Workload:
        """Return the workload of a name.

        Raises:
            UserError: if the suite has none.
        """
        for workload in self.workloads():
            if workload.name == name:
                return workload
        raise UserError(f"suite {self.name!r} has no workload {name!r}")


def version_of(definition: dict[str, Any]) -> str:
    """Hash a definition of plain data into a version: 12 hexadecimal digits."""
    encoded = msgspec.json.encode(definition, enc_hook=_number, order="sorted")
    return hashlib.sha256(encoded).hexdigest()[:12]


def _number(value: Any) -> int | float:  # noqa: ANN401
    """A number of another library's as Python's; nothing else can be told apart by its value."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise UserError(
        f"a definition is made of numbers, words, tuples and dataclasses, not of {value!r}"
    )


def plain(value: Any) -> Any:  # noqa: ANN401
    """Dataclasses to dictionaries that name their class; without fields `NOT_DEFINING`.

    Other libraries' numbers become Python's.
    """
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("defines", True)
        }
        return {"kind": type(value).__name__} | fields
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    return _number(value) if isinstance(value, Real) and not isinstance(value, bool) else value
