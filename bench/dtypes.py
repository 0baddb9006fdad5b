"""Element types by the names that commands, run files and reports use."""

import torch

from bench.errors import UserError

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's type of a name.

    Raises:
        UserError: if the name is unknown.
    """
    try:
        return DTYPES[name]
    except KeyError:
        raise UserError(f"unknown dtype {name!r}; known are {', '.join(DTYPES)}") from None
