"""Progress with the time left: a bar on a terminal, a line now and then in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from bench.cli.output import say

BAR_WIDTH = 20
LINE_SECONDS = 30.0
"""What no bar can be drawn on gets a line so often."""


@contextmanager
def shown() -> Iterator[Callable[[int, int, str], None]]:
    """Show progress on standard error; it is told what is done, of how much, and what is at work."""
    console = Console(stderr=True)
    with bar_on(console) as bar:
        task = bar.add_task("starting", total=None)
        said = monotonic()
        first: tuple[int, float] | None = None  # a run that is gone on with does not begin at 0

        def show(done: int, total: int, at_work: str) -> None:
            nonlocal said, first
            bar.update(task, completed=done, total=total, description=at_work)
            now = monotonic()
            first = first or (done, now)
            if not _is_drawn_on(console) and done < total and now - said >= LINE_SECONDS:
                said = now
                steps = done - first[0]
                left = (now - first[1]) / steps * (total - done) if steps else None
                say(f"{done} of {total}{_left(left)}: {at_work}")

        yield show


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return (
        f", about {seconds:.0f} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"
    )


def _is_drawn_on(console: Console) -> bool:
    """Whether a bar can be drawn: on a terminal, whatever FORCE_COLOR says, that moves its cursor."""
    return console.file.isatty() and not console.is_dumb_terminal


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
        disable=not _is_drawn_on(console),  # a file would get an empty line
        refresh_per_second=1,
        speed_estimate_period=remembered_seconds,
    )
