"""The implementation `cuda`: its native tensor and its modules."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.implementation import Implementation, source_digest
from bench.measure.timers import timer_for
from bench.operators import Convolution, InverseConvolution, MaxPooling, Operator, Rule
from bench.phases import Phase
from impls.cuda.availability import why_unavailable
from impls.cuda.choices import folder as choices_folder
from impls.cuda.convolving import convolve
from impls.cuda.gpu_choices import choices_of
from impls.cuda.launching import FOLDER as KERNELS
from impls.cuda.launching import VALUE_TYPES, Launcher
from impls.cuda.measured import Measured
from impls.cuda.places import Places, Tuning
from impls.cuda.pooling import pool
from impls.cuda.products import Product, may_use_tensor_cores, prepare
from impls.cuda.shapes import BY_RULE, Chooser
from impls.cuda.sites import KernelMap, Sites
from impls.cuda.structures import AXES

FOLDER = Path(__file__).parent
MOST_OFFSETS = 65535
"""Blocks along the grid's y axis."""


class Rows(NamedTuple):
    """Native tensor: features `[N, C]` of the sites' rows, and the sites with their kernel maps."""

    features: Tensor
    sites: Sites


class Cuda(Implementation):
    """Implicit GEMM over a table of neighbours, in CUDA C++ of this project."""

    name: ClassVar[str] = "cuda"
    version: ClassVar[str] = f"{source_digest(FOLDER)} {source_digest(KERNELS, '*.cu*')}"
    origin: ClassVar[str] = "this project"
    timed_region = {  # noqa: RUF012
        Phase.ENCODE: "nothing but keeping the rows: coordinates are the native form",
        Phase.MAP: "bitmap or hash table, output sites and the table of neighbours, sorted by the "
        "neighbours that a row has where rows are many; one wait for the device where output sites are "
        "new, none where they are the input's",
        Phase.FORWARD: "one kernel, bias and normalisation included, in a shape that was chosen "
        "before; with few rows a second, which adds up what blocks computed for some offsets each; in "
        "tf32 one before it, which rounds the weight",
        Phase.DECODE: "nothing but handing out the rows, which are in canonical order",
        Phase.TRAIN_STEP: "encode, map, forward and backward; for gradients of strided layers at their "
        "input, the table of the other direction too, looked up and sorted; the table's pairs, counted",
    }
    tuning: Tuning = Tuning()
    chooser: Chooser = BY_RULE
    """By measuring where this has been tuned; only natives that are encoded from then on use it."""

    def unavailable(self, device: torch.device) -> str | None:
        """No GPU, no CuPy, or one that does not fit the other."""
        return why_unavailable(device)

    def prepare(self) -> None:
        """Import CuPy, which takes a second and opens no device."""
        self.launcher()

    def tune(self, call: Callable[[], object]) -> None:
        """Measure the shapes of the launches that a call makes, unless the environment says `off`."""
        folder = choices_folder()
        if folder is None:
            return
        if not isinstance(self.chooser, Measured):
            self.chooser = self.measured(folder)
        with self.chooser.measuring():
            call()

    def measured(self, folder: Path) -> Measured:
        """Make what measures with the clock of measuring runs, and keeps what it finds in a folder."""
        return Measured(partial(choices_of, folder), partial(timer_for, phase=Phase.FORWARD))

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Element types without kernels, grids of more axes, kernels of more offsets."""
        del device
        if dtype not in VALUE_TYPES:
            return f"the CUDA kernels compute in {', '.join(map(str, VALUE_TYPES))}, not in {dtype}"
        if isinstance(operator, Convolution | InverseConvolution | MaxPooling):
            if operator.window.dimensions > AXES:
                return f"the CUDA kernels know up to {AXES} spatial axes"
            if operator.window.volume > MOST_OFFSETS:
                return f"the CUDA kernels know up to {MOST_OFFSETS} kernel offsets"
        return None

    def launcher(self) -> Launcher:
        """Make what starts the kernels: CuPy, imported here and no earlier."""
        from impls.cuda.cupy_launcher import CUPY_LAUNCHER  # noqa: PLC0415  # see above

        return CUPY_LAUNCHER

    def encode(self, batch: SparseBatch) -> Rows:
        """Keep rows and coordinates."""
        places = Places(
            batch.coordinates.contiguous(),
            batch.batch_size,
            batch.grid_size,
            self.launcher(),
            self.tuning,
            self.chooser,
        )
        return Rows(batch.features, Sites(places))

    def decode(self, native: Rows) -> SparseBatch:
        """Hand out rows and coordinates."""
        places = native.sites.places
        return SparseBatch(places.coordinates, native.features, places.batch_size, places.grid_size)

    def features(self, native: Rows) -> Tensor:
        """Return the rows."""
        return native.features

    def with_features(self, native: Rows, features: Tensor) -> Rows:
        """Keep sites and kernel maps."""
        return Rows(features, native.sites)

    def without_maps(self, native: Rows) -> Rows:
        """Drop kernel maps, and the index that they were looked up in."""
        return Rows(native.features, Sites(native.sites.places.fresh()))

    def build_map(self, module: nn.Module, native: Rows) -> None:
        """Build the table of neighbours, and group its rows where the kernel wants that."""
        if not isinstance(module, CudaConvolution | CudaMaxPooling):
            return
        kernel_map, _ = module.kernel_map(native.sites)
        if isinstance(module, CudaConvolution):
            tensor_cores = may_use_tensor_cores(native.features.dtype)
            features = native.features.contiguous()
            product = Product(features, module.weight, kernel_map, tensor_cores)
            prepare(product, native.sites.places)

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """All rules and geometries."""
        return CudaConvolution(operator, weight, bias)

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """Look coarse sites up from fine ones."""
        return CudaInverseConvolution(operator, weight, bias)

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """Scan the window's sites in torch's order."""
        return CudaMaxPooling(operator)

    def torch_layout(self, operator: Operator, weight: Tensor) -> Tensor:
        """Bring `[K, C_in, C_out]` back."""
        match operator:
            case Convolution():
                return weight.permute(2, 1, 0).reshape(operator.weight_shape)
            case InverseConvolution():
                return weight.permute(1, 2, 0).reshape(operator.weight_shape)
            case _:
                return weight


class CudaConvolution(nn.Module):
    """One convolution; weight stored as `[K, C_in, C_out]`."""

    def __init__(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.operator = operator
        self.weight = nn.Parameter(weight.flatten(2).permute(2, 1, 0).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)

    def kernel_map(self, sites: Sites) -> tuple[KernelMap, Sites]:
        """Table and output sites, built once for these sites."""
        submanifold = self.operator.rule is Rule.SUBMANIFOLD
        return sites.kernel_map(self.operator.window, submanifold=submanifold)

    def forward(self, native: Rows) -> Rows:
        """Multiply, normalise where the rule says so, add the bias: one kernel."""
        kernel_map, outputs = self.kernel_map(native.sites)
        features = convolve(
            native.features,
            self.weight,
            self.bias,
            kernel_map,
            native.sites.places,
            invariant=self.operator.rule is Rule.SPARSITY_INVARIANT,
        )
        return Rows(features, outputs)


class CudaInverseConvolution(nn.Module):
    """One transposed convolution onto the sites of an earlier tensor."""

    def __init__(self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.window = operator.window
        self.weight = nn.Parameter(weight.flatten(2).permute(2, 0, 1).contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, source: Rows, target: Rows) -> Rows:
        """Multiply, add the bias: one kernel."""
        kernel_map = target.sites.inverse_map(self.window, source.sites.places)
        places = target.sites.places
        features = convolve(source.features, self.weight, self.bias, kernel_map, places)
        return Rows(features, target.sites)


class CudaMaxPooling(nn.Module):
    """Max pooling, with 0 wherever the window holds an inactive site."""

    def __init__(self, operator: MaxPooling) -> None:
        super().__init__()
        self.window = operator.window

    def kernel_map(self, sites: Sites) -> tuple[KernelMap, Sites]:
        """Table and output sites, built once for these sites."""
        return sites.kernel_map(self.window, submanifold=False)

    def forward(self, native: Rows) -> Rows:
        """Take the first largest site of each window."""
        kernel_map, outputs = self.kernel_map(native.sites)
        return Rows(pool(native.features, kernel_map, native.sites.places), outputs)
