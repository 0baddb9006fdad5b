"""The sparse batch: what every implementation is given, and what it must give back."""

import math
import operator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.errors import UserError
from bench.window import Axes

LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True, eq=False)
class SparseBatch:
    """Samples on one grid, of which only the active sites are stored.

    Attributes:
        coordinates: int32 `[N, 1 + D]`, batch index first, then the grid's axes.
        features: floating point `[N, C]`, a row for each active site.
        batch_size: number of samples, empty ones included.
        grid_size: (H, W) or (D, H, W).

    The constructor looks at shapes and types only, so that it may stand inside a timed region;
    `checked` looks at the values too, `sorted` brings the rows into canonical order.
    """

    coordinates: Tensor
    features: Tensor
    batch_size: int
    grid_size: Axes

    def __post_init__(self) -> None:
        # Batches are made once for every timed call: each look at a tensor counts.
        columns = 1 + len(self.grid_size)
        coordinates, features = self.coordinates.shape, self.features.shape
        if len(coordinates) != 2 or coordinates[1] != columns:
            raise UserError(
                f"coordinates have shape {tuple(coordinates)}; a grid with "
                f"{len(self.grid_size)} axes needs [N, {columns}], batch index first"
            )
        if self.coordinates.dtype != torch.int32:
            raise UserError(f"coordinates are {self.coordinates.dtype}; int32 was expected")
        if len(features) != 2 or features[0] != coordinates[0]:
            raise UserError(
                f"features have shape {tuple(features)}; [{coordinates[0]}, C] was expected, a row "
                f"for each of the coordinates"
            )
        if not self.features.is_floating_point():
            raise UserError(f"features are {self.features.dtype}; a floating point type is needed")
        if self.batch_size < 1 or not self.grid_size or min(self.grid_size) < 1:
            raise UserError(
                f"batch size {self.batch_size} and grid size {self.grid_size} must be positive"
            )
        if self.all_sites > LARGEST_KEY:
            raise UserError(f"grid size {self.grid_size} has more sites than 64 bits can number")

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.grid_size)

    @property
    def sites(self) -> int:
        """Number of active sites, over all samples."""
        return len(self.coordinates)

    @property
    def all_sites(self) -> int:
        """Number of sites, active or not, over all samples."""
        return self.batch_size * math.prod(self.grid_size)

    @property
    def density(self) -> float:
        """Active sites over all sites."""
        return self.sites / self.all_sites

    @property
    def channels(self) -> int:
        """Number of features at each site."""
        return self.features.shape[1]

    def keys(self) -> Tensor:
        """Number every active site in lexicographic order: int64 `[N]`."""
        return linear_keys(self.coordinates, self.grid_size)

    def checked(self) -> "SparseBatch":
        """Return this batch if its values are sound.

        Raises:
            UserError: if coordinates repeat or leave the grid, or features are not finite, and then
                the message names the first offending row; or if sizes are no whole numbers.
        """
        if any(type(size) is not int for size in (self.batch_size, *self.grid_size)):
            grid_size, batch_size = whole_sizes(self.grid_size, self.batch_size)
            return replace(self, grid_size=grid_size, batch_size=batch_size).checked()
        bounds = torch.tensor((self.batch_size, *self.grid_size), device=self.coordinates.device)
        outside = ((self.coordinates < 0) | (self.coordinates >= bounds)).any(1).nonzero()
        if len(outside):
            row = int(outside[0])
            raise UserError(
                f"coordinates row {row} is {self.coordinates[row].tolist()}, outside of batch size "
                f"{self.batch_size} and grid size {self.grid_size}"
            )
        ordered, order = self.keys().sort(stable=True)
        repeats = (ordered[1:] == ordered[:-1]).nonzero()
        if len(repeats):
            first = int(repeats[0])
            rows = sorted((int(order[first]), int(order[first + 1])))
            raise UserError(
                f"coordinates rows {rows[0]} and {rows[1]} are both "
                f"{self.coordinates[rows[0]].tolist()}; every site may appear once"
            )
        unsound = (~torch.isfinite(self.features)).any(1).nonzero()
        if len(unsound):
            row = int(unsound[0])
            raise UserError(
                f"features row {row}, at {self.coordinates[row].tolist()}, holds NaN or infinity"
            )
        return self

    def sorted(self) -> "SparseBatch":
        """Return this batch in canonical order: rows sorted by coordinates, lexicographically."""
        keys = self.keys()
        if bool((keys[1:] > keys[:-1]).all()):
            return self
        order = keys.argsort()
        return replace(self, coordinates=self.coordinates[order], features=self.features[order])

    def with_features(self, features: Tensor) -> "SparseBatch":
        """Return a batch of the same sites with other features `[N, C]`."""
        return SparseBatch(self.coordinates, features, self.batch_size, self.grid_size)

    def copied(self) -> "SparseBatch":
        """Return this batch with coordinates of its own, by which nobody can know it again.

        One is made for every timed call: what was sound is not looked at once more.
        """
        twin = object.__new__(SparseBatch)
        twin.__dict__.update(self.__dict__, coordinates=self.coordinates.clone())
        return twin

    def to(
        self, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> "SparseBatch":
        """Return this batch on another device, with features of another type."""
        return replace(
            self,
            coordinates=self.coordinates.to(device=device),
            features=self.features.to(device=device, dtype=dtype),
        )

    def dense(self) -> Tensor:
        """Densify: `[B, C, *grid]`, zero at inactive sites; differentiable in the features."""
        flat = self.features.new_zeros((self.all_sites, self.channels))
        flat.index_copy_(0, self.keys(), self.features)
        return flat.view(self.batch_size, *self.grid_size, self.channels).movedim(-1, 1)

    def mask(self) -> Tensor:
        """Mark the active sites: bool `[B, 1, *grid]`."""
        flat = torch.zeros(self.all_sites, dtype=torch.bool, device=self.coordinates.device)
        flat[self.keys()] = True
        return flat.view(self.batch_size, 1, *self.grid_size)


def linear_keys(coordinates: Tensor, grid_size: Axes) -> Tensor:
    """Number sites `[N, 1 + D]` in lexicographic order: int64 `[N]`."""
    keys = coordinates[:, 0].long()
    for axis, size in enumerate(grid_size, start=1):
        keys = keys * size + coordinates[:, axis]
    return keys


def coordinates_of(keys: Tensor, grid_size: Axes) -> Tensor:
    """Undo `linear_keys`: int32 `[N, 1 + D]`."""
    columns = []
    for size in reversed(grid_size):
        columns.append(keys % size)
        keys = keys // size
    return torch.stack([keys, *reversed(columns)], dim=1).to(torch.int32)


def whole_sizes(grid_size: Axes, batch_size: int) -> tuple[Axes, int]:
    """Return a grid size and a batch size as Python's integers, of whatever kind they were.

    Raises:
        UserError: if they are no whole numbers, or the grid has no axes.
    """
    try:
        return tuple(map(operator.index, grid_size)), operator.index(batch_size)
    except TypeError:
        raise UserError(
            f"grid size {grid_size!r} and batch size {batch_size!r}: the first is (H, W) or (D, H, W), "
            f"and all are whole numbers"
        ) from None


def sparse_batch(
    coordinates: Tensor, features: Tensor, batch_size: int, grid_size: Axes
) -> SparseBatch:
    """Make a sound, canonical batch from rows in any order.

    Raises:
        UserError: see `SparseBatch` and `SparseBatch.checked`.
    """
    return SparseBatch(coordinates, features, batch_size, tuple(grid_size)).checked().sorted()


def from_dense(values: Tensor, mask: Tensor) -> SparseBatch:
    """Read a dense tensor `[B, C, *grid]` at the active sites of a mask `[B, 1, *grid]`."""
    grid_size = tuple(values.shape[2:])
    keys = mask.reshape(-1).nonzero().squeeze(1)
    rows = values.movedim(1, -1).reshape(-1, values.shape[1])[keys]
    return SparseBatch(coordinates_of(keys, grid_size), rows, values.shape[0], grid_size)
