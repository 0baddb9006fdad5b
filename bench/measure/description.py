"""What a workload turned out to be, once its input is made; and what implementations are."""

from dataclasses import replace
from pathlib import Path

from bench.batch import SparseBatch
from bench.cost import Cost, phase_bytes, phase_multiply_adds
from bench.errors import writable
from bench.implementation import Implementation, ledger
from bench.measure.messages import Described, Loaded
from bench.phases import Phase
from bench.plugins.implementations import source_of
from bench.plugins.installed import Reference
from bench.results.schema import ImplementationRecord, Work, WorkloadRecord
from bench.workload import Workload


def describe(suite: str, workload: Workload, batch: SparseBatch, cost: Cost) -> Described:
    """Describe a workload of a suite with its input and the cost of its network."""
    element_bytes = batch.features.element_size()
    work = {
        phase: Work(
            phase_multiply_adds(phase, cost.multiply_adds),
            phase_multiply_adds(phase, cost.dense_multiply_adds),
            phase_bytes(phase, cost, batch, element_bytes),
        )
        for phase in Phase
    }
    record = replace(
        undescribed(suite, workload),
        batch_size=batch.batch_size,
        grid_size=batch.grid_size,
        channels=batch.channels,
        output_channels=cost.output_channels,
        sites=batch.sites,
        density=batch.density,
        output_sites=cost.output_sites,
        neighbours=cost.active_pairs / max(1, cost.kernel_outputs),
    )
    return Described(record, work)


def undescribed(suite: str, workload: Workload) -> WorkloadRecord:
    """The record of a workload of a suite whose input nobody made: no size and no sites."""
    return WorkloadRecord(
        name=workload.name,
        version=workload.version(),
        suite=suite,
        group=workload.group,
        position=workload.position,
        batch_size=0,
        grid_size=(),
        channels=workload.channels,
        output_channels=0,
        sites=0,
        density=0.0,
        output_sites=0,
        neighbours=0.0,
        definition=workload.definition(),
        axis=workload.axis,
        background=workload.background,
    )


def describe_implementation(reference: Reference, implementation: Implementation) -> Loaded:
    """Describe an implementation that was loaded by a reference."""
    # A plug-in's whole path is its user's own affair, and pages are published.
    file = Path(reference.source).name if reference.is_file else ""
    record = ImplementationRecord(
        name=implementation.name,
        version=writable(str(implementation.version)),
        origin=writable(implementation.origin or file or reference.source),
        starts_dense=implementation.starts_dense,
        unavailable="",
        ledger=ledger(implementation),
        file=file,
    )
    return Loaded(record, str(source_of(implementation) or ""))
