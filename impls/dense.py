"""`dense`: torch's own convolutions on the whole grid, masked only where the rule needs it.

This is the baseline that ratios are taken against, so it gets every advantage that torch offers: the
memory format that was measured to be faster, a mask only where values would otherwise stand at
inactive sites, the mask cached like any other kernel map, and no encoding in its cold phases, since
someone who computes densely holds a dense tensor (`dense_from_sparse` is for the others).
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch, from_dense
from bench.dtypes import tf32_is_allowed
from bench.implementation import Implementation, OnFeatures, pointwise_module, source_digest
from bench.operators import (
    SPARSITY_INVARIANT_EPSILON,
    BatchNorm,
    Convolution,
    InverseConvolution,
    Linear,
    MaxPooling,
    Operator,
    Pointwise,
    Rule,
)
from bench.phases import Phase
from bench.rounding import HALF_TYPES
from bench.window import Window
from impls.torch_operators import (
    active_rows,
    convolve,
    count_active,
    on_rows,
    pool,
    touched,
    transpose,
    why_torch_lacks,
)

FOLDER = Path(__file__).parent
SOURCES = ("dense.py", "torch_operators.py")
FEW = 8
"""Up to one active site in so many, evaluating a batch norm on rows was measured to be faster."""
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


class Sites:
    """The active sites of a grid, as masks that are computed when first asked for."""

    def __init__(self, mask: Tensor | Callable[[], Tensor]) -> None:
        self._mask = mask
        self._rows: Tensor | None = None
        self._factors: dict[torch.dtype, Tensor] = {}
        self._counts: dict[tuple[Window, torch.dtype], Tensor] = {}
        self._after: dict[Window, Sites] = {}

    @property
    def mask(self) -> Tensor:
        """Active sites: bool `[B, 1, *grid]`."""
        if callable(self._mask):
            self._mask = self._mask()
        return self._mask

    @property
    def rows(self) -> Tensor:
        """Numbers of the active sites among all: int64 `[N]`."""
        if self._rows is None:
            self._rows = active_rows(self.mask)
        return self._rows

    @property
    def are_few(self) -> bool:
        """Whether gathering and scattering them costs less than passing over the whole grid."""
        return FEW * len(self.rows) < self.mask.numel()

    def factor(self, dtype: torch.dtype) -> Tensor:
        """1 at active sites, else 0, in the features' type."""
        if dtype not in self._factors:
            self._factors[dtype] = self.mask.to(dtype)
        return self._factors[dtype]

    def after(self, window: Window) -> "Sites":
        """Sites whose window touches an active site."""
        if window not in self._after:
            self._after[window] = Sites(lambda: touched(self.factor(torch.float32), window) > 0)
        return self._after[window]

    def reciprocal_count(self, window: Window, dtype: torch.dtype) -> Tensor:
        """1 / (active sites under the kernel + epsilon) where there are any, else 0."""
        key = (window, dtype)
        if key not in self._counts:
            exact = torch.float64 if dtype == torch.float64 else torch.float32
            count = count_active(self.factor(exact), window)
            inverse = 1 / (count + SPARSITY_INVARIANT_EPSILON)
            self._counts[key] = torch.where(count > 0, inverse, 0).to(dtype)
        return self._counts[key]

    def forgetting(self) -> "Sites":
        """The same sites without anything derived from them."""
        return Sites(self.mask)


class Grid(NamedTuple):
    """Native tensor: values `[B, C, *grid]`, zero at inactive sites, and the sites."""

    values: Tensor
    sites: Sites


class Dense(Implementation):
    """Dense convolution from a dense tensor: dense's best case."""

    name: ClassVar[str] = "dense"
    version: ClassVar[str] = f"{torch.__version__} {source_digest(FOLDER, *SOURCES)}"
    origin: ClassVar[str] = "torch.nn.functional, as installed"
    starts_dense: ClassVar[bool] = True
    timed_region = {  # noqa: RUF012
        Phase.ENCODE: "scattering features into a zeroed grid and marking its mask",
        Phase.MAP: "output mask or normaliser, where the rule needs one",
    }

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Whatever torch has no kernel for."""
        return why_torch_lacks(operator, dtype, device)

    def encode(self, batch: SparseBatch) -> Grid:
        """Scatter rows into a zeroed grid; channels-last, as rows are, where that is faster."""
        values = batch.dense()
        if not _is_faster_channels_last(values):
            values = values.contiguous()
        return Grid(values, Sites(batch.mask()))

    def decode(self, native: Grid) -> SparseBatch:
        """Read the grid at active sites."""
        return from_dense(native.values, native.sites.mask)

    def features(self, native: Grid) -> Tensor:
        """Return the whole grid."""
        return native.values

    def with_features(self, native: Grid, features: Tensor) -> Grid:
        """Keep sites and cached masks."""
        return Grid(features, native.sites)

    def without_maps(self, native: Grid) -> Grid:
        """Drop cached output masks and normalisers."""
        return Grid(native.values, native.sites.forgetting())

    def build_map(self, module: nn.Module, native: Grid) -> None:
        """Compute the masks that the module will multiply with."""
        if not isinstance(module, DenseConvolution) or not module.masks:
            raise NotImplementedError(
                "it has no mask to compute: nothing fills inactive sites here"
            )
        module.prepare(native)

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Torch's convolution, masked where bias or rule would fill inactive sites."""
        return DenseConvolution(operator, weight, bias)

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Torch's transposed convolution times the target's mask."""
        return DenseInverseConvolution(operator, weight, bias)

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Torch's max pooling: a window without active sites yields 0 by itself."""
        return DenseMaxPooling(operator)

    def pointwise(
        self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None
    ) -> nn.Module:
        """On the grid where zero stays zero, else on the rows of active sites."""
        inner = pointwise_module(operator, weight, bias)
        match operator:
            case BatchNorm():
                return DenseBatchNorm(self, inner)
            case Linear():
                return OnActiveRows(self, inner)
            case _:
                return OnFeatures(self, inner)

    def unmasked(self) -> Implementation:
        """Return the plain dense network's modules."""
        return PlainDense()


class DenseFromSparse(Dense):
    """Dense convolution for someone who holds coordinates: the grid is filled inside cold phases."""

    name: ClassVar[str] = "dense_from_sparse"
    starts_dense: ClassVar[bool] = False

    def unmeasured(self, phase: Phase) -> str | None:
        """Warm phases are those of `dense`."""
        return None if phase.is_cold else "the same as dense, which is measured"


class DenseConvolution(nn.Module):
    """One dense convolution, with the least masking that its rule allows."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.operator = operator
        if _is_faster_channels_last(weight):
            weight = weight.contiguous(memory_format=CHANNELS_LAST[operator.window.dimensions])
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.masks = bias is not None or operator.rule is not Rule.FULL

    def prepare(self, native: Grid) -> None:
        """Compute and cache the masks that `forward` will ask for."""
        window, dtype = self.operator.window, native.values.dtype
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            native.sites.reciprocal_count(window, dtype)
        if self.bias is not None or self.operator.rule is Rule.SUBMANIFOLD:
            self._output_sites(native).factor(dtype)

    def forward(self, native: Grid) -> Grid:
        """Convolve and mask."""
        window, dtype = self.operator.window, native.values.dtype
        sites = self._output_sites(native)
        if self.operator.rule is Rule.SPARSITY_INVARIANT:
            values = convolve(native.values, self.weight, None, window)
            values = _times(values, native.sites.reciprocal_count(window, dtype))
            if self.bias is not None:
                values = values + _spread(self.bias, values) * sites.factor(dtype)
            return Grid(values, sites)
        values = convolve(native.values, self.weight, self.bias, window)
        if self.bias is not None or self.operator.rule is Rule.SUBMANIFOLD:
            values = _times(values, sites.factor(dtype))
        return Grid(values, sites)

    def _output_sites(self, native: Grid) -> Sites:
        if self.operator.rule is Rule.SUBMANIFOLD:
            return native.sites
        return native.sites.after(self.operator.window)


class DenseInverseConvolution(nn.Module):
    """One dense transposed convolution onto the target's sites."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.window = operator.window
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, source: Grid, target: Grid) -> Grid:
        """Transpose and mask."""
        grid_size = tuple(target.values.shape[2:])
        values = transpose(source.values, self.weight, self.bias, self.window, grid_size)
        return Grid(_times(values, target.sites.factor(values.dtype)), target.sites)


class DenseMaxPooling(nn.Module):
    """One dense max pooling."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def forward(self, native: Grid) -> Grid:
        """Pool the values; the mask follows when somebody asks."""
        return Grid(pool(native.values, self.window), native.sites.after(self.window))


class OnActiveRows(OnFeatures):
    """Applies a torch module to the rows of active sites."""

    def forward(self, native: Grid) -> Grid:
        """Gather rows, apply, scatter."""
        return Grid(on_rows(native.values, native.sites.rows, self.inner), native.sites)


class DenseBatchNorm(OnActiveRows):
    """Batch norm over active rows; in evaluation it is affine, and may pass over the whole grid."""

    inner: nn.BatchNorm1d

    def forward(self, native: Grid) -> Grid:
        """Normalise and mask."""
        if self.training or native.sites.are_few:
            return super().forward(native)
        norm = self.inner
        values = nn.functional.batch_norm(
            native.values,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            eps=norm.eps,
        )
        return Grid(_times(values, native.sites.factor(values.dtype)), native.sites)


class PlainDense(Dense):
    """Dense layers that compute every site alike: nothing is masked, biases reach all."""

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """Torch's convolution."""
        return PlainConvolution(operator, weight, bias)

    def pointwise(
        self, operator: Pointwise, weight: Tensor | None, bias: Tensor | None
    ) -> nn.Module:
        """On the whole grid."""
        inner = pointwise_module(operator, weight, bias)
        return OnEverySite(self, inner) if isinstance(operator, Linear) else OnFeatures(self, inner)


class PlainConvolution(DenseConvolution):
    """One dense convolution without any masking; its mask follows when somebody asks."""

    def forward(self, native: Grid) -> Grid:
        """Convolve."""
        values = convolve(native.values, self.weight, self.bias, self.operator.window)
        return Grid(values, self._output_sites(native))


class OnEverySite(OnFeatures):
    """Applies a torch module for rows `[N, C]` to all sites of the grid."""

    def forward(self, native: Grid) -> Grid:
        """Apply with channels last."""
        values = self.inner(native.values.movedim(1, -1)).movedim(-1, 1)
        return Grid(values, native.sites)


def _is_faster_channels_last(tensor: Tensor) -> bool:
    """Whether convolutions of a type are faster on a device with channels last.

    Measured on a CPU with AVX-512, one thread, forward and backward, 1 to 128 channels, kernels 2, 3,
    5: nearly all cases in float32 (up to 5 times) and bfloat16 (up to 2 times); not in float64 below
    8 channels. On a GPU, not measured, as cuDNN's guide has it: tensor cores want channels last, and
    float32 uses them where TF32 is allowed.
    """
    if tensor.device.type == "cuda":
        return tensor.dtype in HALF_TYPES or (tensor.dtype == torch.float32 and tf32_is_allowed())
    return tensor.dtype != torch.float64


def _times(values: Tensor, factor: Tensor) -> Tensor:
    """Multiply, in place where no gradient is recorded."""
    return values.mul(factor) if values.requires_grad else values.mul_(factor)


def _spread(bias: Tensor, values: Tensor) -> Tensor:
    return bias.view(1, -1, *(1,) * (values.ndim - 2))
