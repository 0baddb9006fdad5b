"""Active sites in a MinkowskiEngine coordinate manager, and what is derived from them once."""

from typing import Any

import MinkowskiEngine
import torch
from MinkowskiEngineBackend._C import ConvolutionMode
from torch import Tensor

from bench.window import Axes, Window
from impls.full_windows import full_windows
from impls.lattice import Lattice, touched_sites

Handle = Any
"""Something of the library's: a coordinate manager, a key in one, a mode of pooling."""


class Kernel:
    """A window as MinkowskiEngine's functions take it."""

    def __init__(self, window: Window) -> None:
        self.window = window
        size, dilation = list(window.kernel_size), list(window.dilation)
        # Output coordinates are always given, so a stride serves one purpose only: pooling whose
        # stride is its kernel size rounds coordinates, and with any other looks neighbours up.
        other = [taps + 1 for taps in size]
        self.looking_up = MinkowskiEngine.KernelGenerator(
            size, other, dilation, dimension=len(size)
        )
        self.rounding = MinkowskiEngine.KernelGenerator(size, size, dilation, dimension=len(size))


class Sites:
    """Active sites in the order of the rows, with their coordinates and kernel maps in a manager."""

    def __init__(
        self,
        manager: Handle,
        lattice: Lattice,
        batch_size: int,
        grid_size: Axes,
        name: str = "",
    ) -> None:
        self.manager = manager
        self.lattice = lattice
        self.batch_size = batch_size
        self.grid_size = grid_size
        self.name = name
        self.key: Handle = None
        self.canonical = False
        self._coordinates: Tensor | None = None
        # No entry refers back to these sites: a cycle would outlive them until the next collection.
        self._after: dict[Window, Sites] = {}
        self._aligned: dict[tuple[Sites, Window], tuple[Handle, Tensor | None]] = {}
        self._counts: dict[Window, Tensor] = {}
        self._floors: dict[Window, Tensor | None] = {}

    def insert(self, coordinates: Tensor, *, canonical: bool) -> Tensor | None:
        """Put sites into the manager.

        Args:
            coordinates: int32 `[N, 1 + D]`.
            canonical: whether they are in canonical order.

        Returns:
            How the library reordered the rows, int64 `[N]`; None where it kept them.
        """
        self.key, order = _insert(self.manager, self.lattice, coordinates, self.name)
        self.canonical = canonical and order is None
        self._coordinates = coordinates if order is None else coordinates[order]
        return order

    @property
    def coordinates(self) -> Tensor:
        """Grid coordinates in the order of the rows: int32 `[N, 1 + D]`."""
        if self._coordinates is None:  # the library made them
            self._coordinates = self.lattice.restore(self.manager.get_coordinates(self.key))
        return self._coordinates

    @property
    def count(self) -> int:
        """Number of active sites."""
        return int(self.manager.size(self.key))

    def tiled_by(self, window: Window) -> bool:
        """Whether rounding stored coordinates down, as the library does, gives the output sites."""
        return self.count > 0 and self.lattice.tiles(window, self.grid_size)

    def after(self, window: Window) -> "Sites":
        """Sites whose window touches an active site."""
        if window not in self._after:
            # The library hands out any sites that it has of the same step and name.
            name = f"{self.name}/{len(self._after)}"
            lattice, grid_size = self.lattice.after(window), window.output_grid(self.grid_size)
            outputs = Sites(self.manager, lattice, self.batch_size, grid_size, name)
            if self.tiled_by(window):
                outputs.key = self.manager.stride(self.key, list(window.stride), name)
            else:
                touched = touched_sites(self.coordinates, window, self.batch_size, self.grid_size)
                outputs.insert(touched, canonical=True)
            self._after[window] = outputs
        return self._after[window]

    def aligned(self, source: "Sites", window: Window) -> tuple[Handle, Tensor | None]:
        """Key of `source` among a window's output sites of these, and how its rows are reordered."""
        lattice = self.lattice.after(window)
        if source.manager is self.manager and source.lattice == lattice:
            return source.key, None
        if (source, window) not in self._aligned:
            name = f"{self.name}/aligned{len(self._aligned)}"
            found = _insert(self.manager, lattice, source.coordinates, name)
            self._aligned[source, window] = found
        return self._aligned[source, window]

    def active_under(self, kernel: Kernel, outputs: "Sites") -> Tensor:
        """Number of active sites under a convolution's kernel: float32 `[M, 1]`."""
        if kernel.window not in self._counts:
            ones = self._ones()
            weight = ones.new_ones((kernel.window.volume, 1, 1))
            count = convolve(ones, weight, kernel, self.manager, self.key, outputs.key)
            self._counts[kernel.window] = count
        return self._counts[kernel.window]

    def pooling_floor(self, kernel: Kernel, outputs: "Sites") -> Tensor | None:
        """Least value of each pooled window, `[M, 1]`: 0 where it holds an inactive site, else -inf.

        None where no window holds one.
        """
        window = kernel.window
        if window not in self._floors:
            count = pool(
                self._ones(), MinkowskiEngine.PoolingMode.LOCAL_SUM_POOLING, kernel, self, outputs
            )
            full = full_windows(count[:, 0], lambda: outputs.coordinates, window, self.grid_size)
            floor = torch.where(full, -torch.inf, 0.0)[:, None]
            self._floors[window] = None if bool(full.all()) else floor
        return self._floors[window]

    def _ones(self) -> Tensor:
        return torch.ones((self.count, 1), device=self.coordinates.device)


def new_sites(batch_size: int, grid_size: Axes, device: torch.device) -> Sites:
    """Make sites in a manager of their own, to be inserted."""
    dimensions = len(grid_size)
    kinds = MinkowskiEngine.CoordinateMapType
    kind = kinds.CUDA if device.type == "cuda" else kinds.CPU
    # Any other number of threads is set for the whole process, torch's own threads included.
    manager = MinkowskiEngine.CoordinateManager(dimensions, num_threads=0, coordinate_map_type=kind)
    lattice = Lattice((1,) * dimensions, (0,) * dimensions)
    return Sites(manager, lattice, batch_size, grid_size)


def convolve(
    features: Tensor,
    weight: Tensor,
    kernel: Kernel,
    manager: Handle,
    source: Handle,
    target: Handle,
) -> Tensor:
    """Sum `features @ weight` over the kernel map from one key to another: `[M, C_out]`."""
    result: Tensor = MinkowskiEngine.MinkowskiConvolutionFunction.apply(
        features, weight, kernel.looking_up, ConvolutionMode.DEFAULT, source, target, manager
    )
    return result


def convolve_transposed(
    features: Tensor,
    weight: Tensor,
    kernel: Kernel,
    manager: Handle,
    source: Handle,
    target: Handle,
) -> Tensor:
    """The same over the kernel map that leads from the target to the source, turned round."""
    result: Tensor = MinkowskiEngine.MinkowskiConvolutionTransposeFunction.apply(
        features, weight, kernel.looking_up, ConvolutionMode.DEFAULT, source, target, manager
    )
    return result


def pool(
    features: Tensor,
    mode: Handle,
    kernel: Kernel,
    inputs: Sites,
    outputs: Sites,
) -> Tensor:
    """Pool the active sites of each window: `[M, C]`."""
    generator = kernel.rounding if inputs.tiled_by(kernel.window) else kernel.looking_up
    result: Tensor = MinkowskiEngine.MinkowskiLocalPoolingFunction.apply(
        features, mode, generator, inputs.key, outputs.key, inputs.manager
    )
    return result


def build_kernel_map(kernel: Kernel, inputs: Sites, outputs: Sites, *, pooling: bool) -> None:
    """Have the manager build a kernel map and keep it."""
    rounding = pooling and inputs.tiled_by(kernel.window)
    generator = kernel.rounding if rounding else kernel.looking_up
    inputs.manager.kernel_map(
        inputs.key,
        outputs.key,
        generator.kernel_stride,
        generator.kernel_size,
        generator.kernel_dilation,
        is_pool=pooling,
    )


def _insert(
    manager: Handle,
    lattice: Lattice,
    coordinates: Tensor,
    name: str,
) -> tuple[Handle, Tensor | None]:
    stored = lattice.store(coordinates)
    key, (order, _) = manager.insert_and_map(stored, list(lattice.step), name)
    return key, order if stored.is_cuda else None
