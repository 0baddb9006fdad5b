"""What a right implementation returns, and how far off it may be."""

from dataclasses import dataclass, field, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Expected:
    """A float64 tensor and how far off a right one may be.

    Attributes:
        values: what is expected.
        magnitude: element by element, what rounding errors scale with.
        terms: how many numbers were summed.
        slack: allowed beyond that, of `values`' shape or one number for all.
    """

    values: Tensor
    magnitude: Tensor
    terms: int
    slack: Tensor | float = 0.0


@dataclass(frozen=True, eq=False)
class Expectation:
    """What a right implementation returns.

    Attributes:
        coordinates: active output sites in canonical order, int32 `[M, 1 + D]`.
        grid_size: the output's grid size.
        rows: which output rows were computed, int64; None for all of them.
        output: expected features of those rows, in evaluation.
        upstream: gradient handed to the output features, `[M, C]`, zero at rows not computed.
        gradients: expected gradients by leaf name, and under `input` at the input features.
        coverage: how it was computed, in words.
        trained: expected features in training, of which the gradients are taken, where they differ.
        background: what every other site holds, `[C]`; None where it is 0, or there is none.
        background_upstream: gradient handed to each of those sites, `[C]`.
    """

    coordinates: Tensor
    grid_size: tuple[int, ...]
    rows: Tensor | None
    output: Expected
    upstream: Tensor
    gradients: dict[str, Expected] = field(default_factory=dict)
    coverage: str = "dense"
    trained: Expected | None = None
    background: Expected | None = None
    background_upstream: Tensor | None = None

    @property
    def in_training(self) -> "Expectation":
        """The same with the output that is expected in training."""
        return self if self.trained is None else replace(self, output=self.trained)
