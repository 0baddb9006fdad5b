"""Progress on a terminal, with the time left; nothing where nobody is looking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

if TYPE_CHECKING:
    from bench.fleet.dispatch import FleetProgress
    from bench.measure.engine import Progress

BAR_WIDTH = 20


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
    with bar_on(Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: int, total: int, at_work: str) -> None:
            bar.update(task, completed=done, total=total, description=at_work)

        yield show


def bar_on(console: Console, *, remembered_seconds: float = 30.0) -> Bar:
    """A bar with what is done, the time left and, as far as there is room, what is at work.

    Args:
        console: that it is drawn on.
        remembered_seconds: over which the time left is reckoned.
    """
    whole = Column(no_wrap=True)
    what = Column(no_wrap=True, overflow="ellipsis", ratio=1)  # the only one that gives way
    return Bar(
        BarColumn(BAR_WIDTH),
        MofNCompleteColumn(table_column=whole),
        TimeRemainingColumn(table_column=whole),
        TextColumn("{task.description}", markup=False, table_column=what),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,  # a file would get an empty line
        refresh_per_second=1,
        speed_estimate_period=remembered_seconds,
    )
