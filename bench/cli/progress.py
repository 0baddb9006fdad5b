"""Progress on a terminal, with the time left; nothing where nobody is looking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from bench.fleet.dispatch import FleetProgress
    from bench.measure.engine import Progress


@contextmanager
def fleet_shown() -> "Iterator[Callable[[FleetProgress], None]]":
    """Show a bar on standard error while a fleet measures."""
    with bar_shown() as show:
        yield lambda each: show(each.done, each.total, f"{each.workload} {each.machine}")


@contextmanager
def shown() -> "Iterator[Callable[[Progress], None]]":
    """Show a bar on standard error while a run goes on."""
    with bar_shown() as show:
        yield lambda each: show(each.done, each.total, f"{each.workload} {each.dtype}")


@contextmanager
def bar_shown() -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar on standard error; it is told how much is done, of how much, and what is at work."""
    console = Console(stderr=True)
    bar = Bar(
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        refresh_per_second=1,
    )
    with bar:
        task = bar.add_task("starting", total=None)

        def show(done: int, total: int, at_work: str) -> None:
            bar.update(task, completed=done, total=total, description=at_work)

        yield show
