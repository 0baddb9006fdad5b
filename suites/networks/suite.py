"""Suite `networks`: the networks of the papers, over grid sizes, sparsity and batch sizes."""

from bench.phases import Phase
from bench.workload import Suite, Workload
from suites.networks import deepcnet_cells, other_cells


def workloads() -> tuple[Workload, ...]:
    """All networks."""
    return (
        *deepcnet_cells.by_grid_size(),
        *deepcnet_cells.in_large_batches(),
        *deepcnet_cells.by_characters(),
        *deepcnet_cells.by_density(),
        *deepcnet_cells.by_batch_size(),
        *deepcnet_cells.by_filters(),
        *deepcnet_cells.on_digits(),
        *deepcnet_cells.relatives(),
        *deepcnet_cells.in_3d(),
        *other_cells.vggs(),
        *other_cells.small_cnns(),
        *other_cells.invariant_cnns(),
    )


SUITE = Suite(
    name="networks",
    description="DeepCNet, VGG and sparsity invariant CNNs over grids, sparsity, batches",
    workloads=workloads,
    phases=(Phase.FORWARD, Phase.FORWARD_COLD, Phase.TRAIN_STEP),
    seconds=0.3,
    processes=3,
)
