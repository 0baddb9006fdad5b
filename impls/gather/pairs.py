"""A kernel map as one list of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Places = NDArray[np.int64]


class Windows(NamedTuple):
    """What each output row of a max pooling looks at: lists of input rows, in the offsets' order.

    Of inactive sites, which are all 0, a list has the first only, as row N; of padding nothing.

    Attributes:
        seen: int32, the lists of all output rows in one.
        places: int64 `[2, M]`, where in `seen` each list begins, and where it ends.
    """

    seen: NDArray[np.int32]
    places: Places


@dataclass(eq=False)
class Pairs:
    """A kernel map: for each kernel offset the input and output rows of its active pairs.

    Each offset's rows ascend, inputs and outputs alike, since a shift keeps the order of sites.

    Attributes:
        rows: int32, on the features' device: the lists of all offsets in one.
        places: int64 `[3, K]`, on the CPU: where in `rows` each offset's input rows begin, where its
            output rows begin, and its number of pairs.
        output_count: number of output rows.
        every: the offset whose pairs are (0, 0), (1, 1), ...: a submanifold kernel's centre.
        count: number of all pairs.
    """

    rows: Tensor
    places: Places
    output_count: int
    every: int | None = None

    def __post_init__(self) -> None:
        self.count = sum(self.places[2].tolist())

    @cached_property
    def array(self) -> NDArray[np.int32]:
        """The rows for compiled loops: they ask three times in a training step."""
        return self.rows.numpy()

    def by_offset(self) -> Iterator[tuple[int, Tensor | None, Tensor | None]]:
        """Number, input rows and output rows of each offset that has pairs; None for all rows."""
        for offset, (first, second, count) in enumerate(self.places.T.tolist()):
            if offset == self.every:
                yield offset, None, None
            elif count:
                yield offset, self.rows[first : first + count], self.rows[second : second + count]

    def turned_round(self, output_count: int) -> "Pairs":
        """Return the same pairs from output to input."""
        return Pairs(self.rows, self.places[[1, 0, 2]], output_count, self.every)

    def with_rows_in_order(self, side: Literal["inputs", "outputs"]) -> "Pairs":
        """Return as many pairs of other rows: 0, 1, 2, ... on one side, to time what memory costs."""
        places = self.places.T.tolist()
        lists = {
            "inputs": [self.rows[first : first + count] for first, _, count in places],
            "outputs": [self.rows[second : second + count] for _, second, count in places],
        }
        device = self.rows.device
        lists[side] = [torch.arange(len(rows), device=device) for rows in lists[side]]
        return pairs_of(lists["inputs"], lists["outputs"], self.output_count, self.every)

    @cached_property
    def active(self) -> Tensor:
        """Number of pairs of each output row: int64 `[M]`."""
        total = torch.zeros(self.output_count, dtype=torch.int64, device=self.rows.device)
        for _, _, targets in self.by_offset():
            if targets is None:
                total += 1
            else:
                total[targets] += 1
        return total


def pairs_of(
    inputs: list[Tensor], outputs: list[Tensor], output_count: int, every: int | None = None
) -> Pairs:
    """Join lists of rows, one for each offset."""
    counts = np.array([len(rows) for rows in inputs], dtype=np.int64)
    begin = np.cumsum(counts) - counts
    rows = torch.cat([*inputs, *outputs]).to(torch.int32)
    return Pairs(rows, np.stack([begin, begin + counts.sum(), counts]), output_count, every)
