"""What the oracle found, kept for the other processes of a workload: it is the same for all of them.

Every process checks its own results; what they are checked against is computed once. The file holds
tensors and plain values only, and what it is of: another workload's is not taken for this one's.
"""

import pickle
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from bench.oracle.expected import Expectation, Expected

LARGEST_BYTES = 2**28
"""Of files that are kept; computing more than that again costs little beside using it."""


def keep(expectation: Expectation, of: str, path: Path) -> None:
    """Write an expectation for other processes to find, unless it is too large.

    Args:
        expectation: on the CPU.
        of: what it is the expectation of.
        path: written whole or not at all; there is one at a time.
    """
    content = _plain(expectation)
    if sum(tensor.nbytes for tensor in _tensors(content)) > LARGEST_BYTES:
        return
    whole = path.with_suffix(".new")
    with suppress(OSError, RuntimeError):  # a full disk: every process computes for itself
        torch.save({"of": of, "expectation": content}, whole)
        whole.replace(path)


def kept(of: str, path: Path) -> Expectation | None:
    """Read what another process has kept; None where it is of something else, or there is none."""
    if not path.exists():
        return None
    try:
        found = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    if found["of"] != of:
        return None
    content = found["expectation"]
    for name in ("output", "trained", "background"):
        if content[name] is not None:
            content[name] = Expected(**content[name])
    content["gradients"] = {key: Expected(**own) for key, own in content["gradients"].items()}
    return Expectation(**content)


def _plain(value: Any) -> Any:  # noqa: ANN401  # whatever an expectation is made of
    if isinstance(value, Expectation | Expected):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(own) for key, own in value.items()}
    return value


def _tensors(value: Any) -> list[torch.Tensor]:  # noqa: ANN401
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for own in value.values() for tensor in _tensors(own)]
    return []
