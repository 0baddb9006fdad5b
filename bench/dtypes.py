"""Element types by the names that commands, run files and reports use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.errors import UserError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TF32 = "tf32"
"""Float32 that tensor cores may round to 10 fraction bits and multiply so: in torch a switch."""
NEWER = "newer: "
_DROPPED_BITS = 13


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's type of a name; that of tf32 is float32.

    Raises:
        UserError: if the name is unknown.
    """
    known = DTYPES | {TF32: torch.float32}
    try:
        return known[name]
    except KeyError:
        raise UserError(f"unknown dtype {name!r}; known are {', '.join(known)}") from None


def rounded(values: Tensor, name: str) -> Tensor:
    """Round values to a type of this name; to tf32, float32 with 10 fraction bits, ties away from 0."""
    values = values.to(torch_dtype(name))
    if name != TF32:
        return values
    half = 1 << (_DROPPED_BITS - 1)
    bits = (values.view(torch.int32) + half) & -(1 << _DROPPED_BITS)
    return bits.view(torch.float32)


@contextmanager
def products_in(name: str) -> Iterator[None]:
    """Let torch round what it multiplies in float32 if the type is tf32, and forbid it in any other."""
    before = matmul_precision(), torch.backends.cudnn.allow_tf32
    set_matmul_precision("high" if name == TF32 else "highest")
    torch.backends.cudnn.allow_tf32 = name == TF32
    try:
        yield
    finally:
        set_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def matmul_precision() -> str:
    """What `torch.get_float32_matmul_precision` says; `newer: ...` where it will not say.

    Newer releases refuse to where their newer switch, `fp32_precision`, was set by itself.
    """
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return f"{NEWER}{torch.backends.cuda.matmul.fp32_precision}"


def set_matmul_precision(precision: str) -> None:
    """Set what `matmul_precision` said."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):  # else the older switch may be refused
        matmul.fp32_precision = precision.removeprefix(NEWER) if NEWER in precision else "ieee"
    if NEWER not in precision:
        torch.set_float32_matmul_precision(precision)


def tf32_is_allowed() -> bool:
    """Whether torch's switches, of either kind, let products of float32 be taken of rounded values."""
    matmul = torch.backends.cuda.matmul
    # Newer releases raise when the older switch is read after the newer was set; both set the newer.
    if hasattr(matmul, "fp32_precision"):
        return bool(matmul.fp32_precision == "tf32")
    return bool(matmul.allow_tf32)
