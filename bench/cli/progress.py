"""Progress on a terminal, with the time left; nothing where nobody is looking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bench.measure.engine import Progress

if TYPE_CHECKING:
    from bench.fleet.dispatch import FleetProgress


@contextmanager
def fleet_shown() -> "Iterator[Callable[[FleetProgress], None]]":
    """Show a bar on standard error while a fleet measures."""
    with shown() as tell:
        yield lambda each: tell(Progress(each.done, each.total, each.workload, each.machine, 0))


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """Show a bar on standard error while a run goes on."""
    bar = Bar(
        TextColumn("[progress.description]{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=1,
    )
    with bar:
        task = bar.add_task("starting", total=None)

        def tell(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                description=f"{progress.workload} {progress.dtype}",
            )

        yield tell
