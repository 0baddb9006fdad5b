"""Sites of one's own: coordinates that a NumPy file lists."""

import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import ClassVar

import numpy as np
import torch
from numpy.lib.format import open_memmap, read_array

from bench.batch import SparseBatch, sparse_batch, whole_sizes
from bench.errors import UserError
from bench.window import Axes
from bench.workload import NOT_DEFINING

UNREADABLE = ValueError, TypeError, OverflowError, SyntaxError, TokenError
"""What NumPy raises at a header or a file that is not as it should be."""


@dataclass(frozen=True)
class StoredSites:
    """The active sites that a file lists, with random features: a layer in the middle of a network.

    `stored_sites` makes one. Where the file lies is no part of what its workloads are: they are
    known by its content.

    Attributes:
        sha256: of the file.
        grid_size: of every sample.
        batch_size: number of samples.
        path: of the file.
    """

    sha256: str
    grid_size: Axes
    batch_size: int
    path: Path = field(compare=False, metadata=NOT_DEFINING)
    version: ClassVar[int] = 1

    def batch(self, channels: int, seed: int) -> SparseBatch:
        """Read the sites and draw features.

        Raises:
            UserError: if the file has changed since the suite was loaded, or a site lies outside of
                the grid or is listed twice.
        """
        axes = len(self.grid_size)
        content = _content(self.path)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UserError(f"{self.path} has changed since the suite was loaded: begin anew")
        rows = read_array(BytesIO(content))
        if rows.shape[1] == axes:
            rows = np.concatenate([np.zeros_like(rows[:, :1]), rows], axis=1)
        beyond = ((rows < 0) | (rows > np.iinfo(np.int32).max)).any(1)
        if beyond.any():
            row = int(beyond.argmax())
            raise UserError(
                f"{self.path} has coordinates below 0 or beyond 32 bits; the first in row {row}, which "
                f"is {rows[row].tolist()}"
            )
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn((len(rows), channels), generator=generator)
        coordinates = torch.from_numpy(rows.astype(np.int32))
        try:
            return sparse_batch(coordinates, features, self.batch_size, self.grid_size)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from error


def stored_sites(path: Path | str, grid_size: Axes, batch_size: int = 1) -> StoredSites:
    """Take the sites of a `.npy` file: integers `[N, 1 + D]`, batch index first, or `[N, D]`.

    Args:
        path: of the file; one that starts at the suite's `__file__` is found from any directory.
        grid_size: of every sample.
        batch_size: number of samples.

    Raises:
        UserError: if there is no such file, it is cut off, or it is not an array of integers with the
            right number of columns; or if sizes are no whole numbers.
    """
    path = Path(path).resolve()
    grid_size, batch_size = whole_sizes(grid_size, batch_size)
    digest = hashlib.sha256(_content(path)).hexdigest()
    try:  # by header and size, what is wrong is told before anything is measured
        rows = open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise UserError(f"{path} is not an array in NumPy's format: {error}") from error
    _check(path, rows, len(grid_size), batch_size)
    return StoredSites(digest, grid_size, batch_size, path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _check(path: Path, rows: np.ndarray, axes: int, batch_size: int) -> None:
    """Refuse an array that is not of integers, `[N, 1 + axes]` or, of a single sample, `[N, axes]`."""
    if not np.issubdtype(rows.dtype, np.integer):
        raise UserError(f"{path} holds {rows.dtype}, where sites are integers")
    columns = {axes, 1 + axes} if batch_size == 1 else {1 + axes}
    if rows.ndim != 2 or rows.shape[1] not in columns:
        raise UserError(
            f"{path} has shape {rows.shape}; a grid with {axes} axes needs [N, {1 + axes}], batch "
            f"index first, or [N, {axes}] for a single sample"
        )
