"""`minkowski`: MinkowskiEngine 0.5.4, made to compute torch's operators exactly.

What the library would do otherwise is corrected here, where it stands inside the timed region:

- Output coordinates are computed by the adapter, except where rounding coordinates down is right. The
  library's own expansion misses and invents sites of even kernels, leaves the grid, and is slower.
- Its max pooling looks at active sites only; windows that hold an inactive site are raised to 0.
- The functions under its modules are called, without a `SparseTensor` around every result, which
  costs time and changes nothing.
"""

import importlib
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.batch import SparseBatch
from bench.implementation import Implementation, Native
from bench.operators import Convolution, InverseConvolution, MaxPooling, Operator
from bench.phases import Phase
from impls.one_thread import one_thread
from impls.optional_library import OptionalLibrary

DTYPES = (torch.float32, torch.float64)


def _works(engine: ModuleType) -> bool:
    """Whether two neighbours see each other and themselves through a 3x3 kernel of ones."""
    coordinates = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
    kernel = engine.MinkowskiConvolution(1, 1, kernel_size=3, dimension=2)
    kind = engine.CoordinateMapType.CPU
    manager = engine.CoordinateManager(2, num_threads=0, coordinate_map_type=kind)
    inputs = engine.SparseTensor(torch.ones(2, 1), coordinates, coordinate_manager=manager)
    with torch.no_grad(), one_thread():
        kernel.kernel.fill_(1)
        return bool((kernel(inputs).F == 2).all())


LIBRARY = OptionalLibrary("MinkowskiEngine", "MinkowskiEngine", "0.5.4", "make minkowski", _works)


class Minkowski(Implementation):
    """Hash table, kernel map, one BLAS call for each kernel offset; float32 and float64."""

    name: ClassVar[str] = "minkowski"
    version: ClassVar[str] = LIBRARY.version
    origin: ClassVar[str] = "NVIDIA MinkowskiEngine, from its published source on OpenBLAS"
    timed_region = {  # noqa: RUF012
        Phase.ENCODE: "coordinates into the library's hash table; features are taken as they are",
        Phase.MAP: "output coordinates, kernel map, and the map's copy for the caller, which the "
        "library makes whenever it builds one apart",
        Phase.FORWARD: "the library's function, kernel map cached; max pooling also raises windows "
        "that hold an inactive site to 0, which the library does not",
        Phase.DECODE: "stored coordinates to grid coordinates, and a sort where the library made them",
        Phase.FORWARD_COLD: "hash table, output coordinates (computed by the adapter where the "
        "library's would be wrong), kernel map and forward",
    }

    def unavailable(self, device: torch.device) -> str | None:
        """Missing, of another version, not importing, wrong, or built without CUDA."""
        reason = LIBRARY.why_unusable()
        if reason is None and device.type == "cuda" and not LIBRARY.load().is_cuda_available():
            return "this MinkowskiEngine was built for CPUs only; build it with CUDA"
        return reason

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Half types."""
        del operator, device
        if dtype not in DTYPES:
            return f"MinkowskiEngine computes in float32 and float64, not in {dtype}"
        return None

    def encode(self, batch: SparseBatch) -> Native:
        """Put the coordinates into a manager of their own."""
        return _rows(batch.features, batch.coordinates, batch, canonical=True)

    def decode(self, native: Native) -> SparseBatch:
        """Read the coordinates back; sort where the library decided on the order."""
        sites = native.sites
        batch = SparseBatch(sites.coordinates, native.features, sites.batch_size, sites.grid_size)
        return batch if sites.canonical else batch.sorted()

    def features(self, native: Native) -> Tensor:
        """Return the rows."""
        features: Tensor = native.features
        return features

    def with_features(self, native: Native, features: Tensor) -> Native:
        """Keep sites and kernel maps."""
        return native._replace(features=features)

    def without_maps(self, native: Native) -> Native:
        """Put the coordinates into a new manager."""
        sites = native.sites
        return _rows(native.features, sites.coordinates, sites, canonical=sites.canonical)

    def build_map(self, module: nn.Module, native: Native) -> None:
        """Have the manager build what the module needs."""
        module.prepare(native.sites)  # type: ignore[operator]

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """All rules and geometries."""
        module: nn.Module = _modules().MinkowskiConvolution(operator, weight, bias)
        return module

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """The library's transposed convolution between given coordinates."""
        module: nn.Module = _modules().MinkowskiInverseConvolution(operator, weight, bias)
        return module

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """The library's local pooling, corrected."""
        module: nn.Module = _modules().MinkowskiMaxPooling(operator)
        return module

    def torch_layout(self, operator: Operator, weight: Tensor) -> Tensor:
        """Bring `[K, C_in, C_out]` back."""
        if not isinstance(operator, Convolution | InverseConvolution):
            return weight
        turned: Tensor = _modules().torch_weight(weight, operator.window.kernel_size)
        return turned if isinstance(operator, Convolution) else turned.transpose(0, 1)


def _rows(features: Tensor, coordinates: Tensor, like: Any, *, canonical: bool) -> Native:  # noqa: ANN401
    modules = _modules()
    return modules.insert_rows(
        features, coordinates, like.batch_size, like.grid_size, canonical=canonical
    )


@cache
def _modules() -> Any:  # noqa: ANN401
    """The modules that import the library, once it has been imported quietly."""
    LIBRARY.load()
    return importlib.import_module("impls.minkowski_modules")
