"""Windows without an inactive site: there a maximum over active sites is the dense maximum."""

from collections.abc import Callable

from torch import Tensor

from bench.window import Axes, Window


def full_windows(
    active: Tensor, outputs: Callable[[], Tensor], window: Window, grid_size: Axes
) -> Tensor:
    """Mark the windows whose every site on the grid is active: bool `[M]`.

    Args:
        active: number of active sites under each window, `[M]`.
        outputs: gives the output sites, int32 `[M, 1 + D]`; asked only where windows may reach over
            the edge.
        window: the geometry.
        grid_size: of the input.
    """
    if not any(window.padding):
        return active == window.volume
    on_grid, sites = active.new_ones(()), outputs()
    for axis, size in enumerate(grid_size):
        corner = sites[:, axis + 1] * window.stride[axis] - window.padding[axis]
        taps = [corner + tap * window.dilation[axis] for tap in range(window.kernel_size[axis])]
        inside = [((site >= 0) & (site < size)).to(active.dtype) for site in taps]
        on_grid = on_grid * sum(inside[1:], inside[0])
    return active == on_grid
