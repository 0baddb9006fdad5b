"""Which output sites are active, and how many active pairs a convolution has: the reference.

Plain integer arithmetic on coordinates, independent of any implementation's kernel map and of the
size of the grid.
"""

import torch
from torch import Tensor

from bench.batch import SparseBatch, coordinates_of, linear_keys
from bench.errors import UserError
from bench.network import Layer, Network
from bench.operators import Convolution, InverseConvolution, MaxPooling, Rule
from bench.window import Axes, Window


def output_sites(operator: Convolution | MaxPooling, batch: SparseBatch) -> Tensor:
    """Active output sites in canonical order: int32 `[M, 1 + D]`."""
    if isinstance(operator, Convolution) and operator.rule is Rule.SUBMANIFOLD:
        return batch.sorted().coordinates
    output_grid = operator.window.output_grid(batch.grid_size)
    keys = [
        _touched(operator.window, offset, batch.coordinates, output_grid)
        for offset in operator.window.offsets()
    ]
    return coordinates_of(torch.cat(keys).unique(), output_grid)


def network_sites(network: Network, batch: SparseBatch) -> SparseBatch:
    """Active sites after a network's last layer, without features."""
    return network.evaluate(batch.sorted(), layer_sites)


def layer_sites(layer: Layer, sources: list[SparseBatch]) -> SparseBatch:
    """Active sites after a layer, without features, from those of the layers that it reads.

    Raises:
        UserError: if layers are joined that do not have the same sites.
    """
    match layer.operator:
        case Convolution() | MaxPooling() as operator:
            coordinates = output_sites(operator, sources[0])
            grid_size = operator.window.output_grid(sources[0].grid_size)
        case InverseConvolution():
            coordinates, grid_size = sources[1].coordinates, sources[1].grid_size
        case _:
            coordinates, grid_size = sources[0].coordinates, sources[0].grid_size
            if not all(torch.equal(coordinates, other.coordinates) for other in sources[1:]):
                raise UserError(
                    f"layer {layer.name!r}: it joins layers that are active at different sites"
                )
    return sites_only(sources[0], coordinates, grid_size)


def sites_only(batch: SparseBatch, coordinates: Tensor, grid_size: Axes) -> SparseBatch:
    """Make a batch of the same samples, on other sites, without features."""
    features = torch.empty((len(coordinates), 0), device=coordinates.device)
    return SparseBatch(coordinates, features, batch.batch_size, grid_size)


def _touched(geometry: Window, offset: Axes, coordinates: Tensor, output_grid: Axes) -> Tensor:
    """Keys of the output sites that see an active site through one kernel offset."""
    device = coordinates.device
    step = torch.tensor(geometry.stride, device=device)
    reach = torch.tensor(offset, device=device) * torch.tensor(geometry.dilation, device=device)
    shifted = coordinates[:, 1:] + torch.tensor(geometry.padding, device=device) - reach
    output = shifted.div(step, rounding_mode="floor")
    inside = (shifted == output * step) & (output >= 0)
    inside &= output < torch.tensor(output_grid, device=device)
    kept = inside.all(1)
    return linear_keys(torch.cat([coordinates[kept, :1], output[kept]], 1), output_grid)


def neighbours(geometry: Window, outputs: Tensor, batch: SparseBatch) -> tuple[Tensor, Tensor]:
    """Which input row each output site sees through each kernel offset.

    Args:
        geometry: the window.
        outputs: output sites, int32 `[M, 1 + D]`.
        batch: the input, in canonical order.

    Returns:
        rows: int64 `[M, K]`, -1 where the site is inactive or outside of the grid.
        inside: bool `[M, K]`, whether the site lies on the grid.
    """
    device = outputs.device
    keys = batch.keys()
    grid = torch.tensor(batch.grid_size, device=device)
    corner = outputs[:, 1:] * torch.tensor(geometry.stride, device=device)
    corner = corner - torch.tensor(geometry.padding, device=device)
    rows, inside = [], []
    for offset in geometry.offsets():
        reach = torch.tensor(offset, device=device) * torch.tensor(geometry.dilation, device=device)
        sites = corner + reach
        on_grid = ((sites >= 0) & (sites < grid)).all(1)
        wanted = linear_keys(torch.cat([outputs[:, :1], sites], 1), batch.grid_size)
        wanted = torch.where(on_grid, wanted, -1)
        if len(keys):
            place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
            rows.append(torch.where(keys[place] == wanted, place, -1))
        else:
            rows.append(torch.full_like(wanted, -1))
        inside.append(on_grid)
    return torch.stack(rows, 1), torch.stack(inside, 1)


def all_pairs(geometry: Window, batch: SparseBatch) -> int:
    """Number of (input site, output site, kernel offset) triples, whichever output is touched."""
    output_grid = geometry.output_grid(batch.grid_size)
    return sum(
        len(_touched(geometry, offset, batch.coordinates, output_grid))
        for offset in geometry.offsets()
    )


def active_pairs(geometry: Window, outputs: Tensor, batch: SparseBatch) -> int:
    """Number of such triples that end at the given output sites, int32 `[M, 1 + D]`."""
    return int((neighbours(geometry, outputs, batch.sorted())[0] >= 0).sum())
