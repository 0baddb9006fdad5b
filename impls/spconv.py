"""`spconv`: spconv 2.3.8, on one thread of a CPU, or on a GPU with a wheel that was built for it.

What the library would do otherwise is corrected here, where it stands inside the timed region:

- Its CPU code races: with two threads sums are lost, silently. It runs on one, whatever is set.
- Its backward pass asks for a CUDA stream on a CPU, too, and is answered.
- Its max pooling starts from 0, as if every window held an inactive site; where none does, the adapter
  has it start from minus infinity. It gives the gradient to every one of several equal values, which
  constant features are full of; the adapter gives it to the first.
- Its modules keep kernel maps of submanifold layers only; the adapter keeps all, and calls the
  functions under the modules.
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

DTYPES = {
    "cpu": (torch.float32, torch.float64, torch.float16),
    "cuda": (torch.float32, torch.float16),
}


def _works(spconv: ModuleType) -> bool:
    """Whether two neighbours see each other and themselves through a 3x3 kernel of ones."""
    indices = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
    layer = spconv.SubMConv2d(1, 1, 3, bias=False, algo=spconv.ConvAlgo.Native)
    with torch.no_grad(), one_thread():
        layer.weight.fill_(1)
        inputs = spconv.SparseConvTensor(torch.ones(2, 1), indices, [2, 2], 1)
        return bool((layer(inputs).features == 2).all())


LIBRARY = OptionalLibrary("spconv", "spconv.pytorch", "2.3.8", "pip install spconv==2.3.8", _works)


class Spconv(Implementation):
    """Pairs by offset on a CPU, implicit GEMM on a GPU."""

    name: ClassVar[str] = "spconv"
    version: ClassVar[str] = LIBRARY.version
    origin: ClassVar[str] = "traveller59's spconv, published wheel; on a CPU always one thread"
    timed_region = {  # noqa: RUF012
        Phase.ENCODE: "nothing but keeping the rows: coordinates are the native form",
        Phase.MAP: "the library's indice pairs and output coordinates; for pooling also finding the "
        "windows without an inactive site",
        Phase.FORWARD: "the library's function, indice pairs cached for every kind of layer (its own "
        "modules cache them for submanifold layers only), on a CPU always one thread, as its code "
        "is wrong with more; max pooling also makes what its maximum starts from",
        Phase.BACKWARD: "gradients at weights and, for a single layer, at input features, from a "
        "recorded warm forward pass, the library's on a CPU always on one thread; that of max pooling "
        "is the adapter's, since the library counts equal values double",
        Phase.DECODE: "handing out the rows, sorted where the library made the coordinates",
    }

    def unavailable(self, device: torch.device) -> str | None:
        """Missing, of another version, not importing, wrong, or built without CUDA."""
        reason = LIBRARY.why_unusable()
        if reason is not None or device.type != "cuda":
            return reason
        LIBRARY.load()
        if importlib.import_module("spconv.cppconstants").CPU_ONLY_BUILD:
            return (
                "this spconv was built for CPUs only; what is built for CUDA takes its place: "
                "`pip uninstall -y spconv cumm && pip install spconv-cu126==2.3.8`"
            )
        return None

    def unsupported(
        self, operator: Operator, dtype: torch.dtype, device: torch.device
    ) -> str | None:
        """Element types that it has no kernels for."""
        del operator
        known = DTYPES[device.type]
        if dtype not in known:
            names = ", ".join(map(str, known))
            return f"spconv computes in {names} on {device.type}, not in {dtype}"
        return None

    def prepare(self) -> None:
        """Import the library, which takes a second or two and starts no thread."""
        LIBRARY.load()

    def encode(self, batch: SparseBatch) -> Native:
        """Keep rows and coordinates."""
        return _rows(batch.features, batch.coordinates, batch, canonical=True)

    def decode(self, native: Native) -> SparseBatch:
        """Hand out rows and coordinates; sort where the library decided on the order."""
        sites = native.sites
        batch = SparseBatch(sites.indices, native.features, sites.batch_size, sites.grid_size)
        return batch if sites.canonical else batch.sorted()

    def features(self, native: Native) -> Tensor:
        """Return the rows."""
        features: Tensor = native.features
        return features

    def with_features(self, native: Native, features: Tensor) -> Native:
        """Keep sites and kernel maps."""
        return native._replace(features=features)

    def without_maps(self, native: Native) -> Native:
        """Drop the indice pairs."""
        sites = native.sites
        return _rows(native.features, sites.indices, sites, canonical=sites.canonical)

    def build_map(self, module: nn.Module, native: Native) -> None:
        """Have the library find the pairs that the module needs."""
        module.prepare(native.sites)  # type: ignore[operator]

    def convolution(self, operator: Convolution, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """All rules and geometries."""
        module: nn.Module = _modules().SpconvConvolution(operator, weight, bias)
        return module

    def inverse_convolution(
        self, operator: InverseConvolution, weight: Tensor, bias: Tensor | None
    ) -> nn.Module:
        """The library's inverse convolution, on the pairs of the target."""
        module: nn.Module = _modules().SpconvInverseConvolution(operator, weight, bias)
        return module

    def max_pooling(self, operator: MaxPooling) -> nn.Module:
        """The library's max pooling, corrected."""
        module: nn.Module = _modules().SpconvMaxPooling(operator)
        return module

    def torch_layout(self, operator: Operator, weight: Tensor) -> Tensor:
        """Bring `[C_out, *kernel, C_in]` back."""
        match operator:
            case Convolution():
                return weight.movedim(-1, 1)
            case InverseConvolution():
                return weight.movedim(-1, 0)
            case _:
                return weight


def _rows(features: Tensor, indices: Tensor, like: Any, *, canonical: bool) -> Native:  # noqa: ANN401
    modules = _modules()
    sites = modules.Sites(indices, like.batch_size, like.grid_size, canonical=canonical)
    return modules.Rows(features, sites)


@cache
def _modules() -> Any:  # noqa: ANN401
    """The modules that import the library, once it has been imported quietly."""
    LIBRARY.load()
    return importlib.import_module("impls.spconv_modules")
