"""Progress of a training: a bar with loss, accuracy and time left, and a line for every epoch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from bench.cli.progress import bar_on
from bench.results.accuracy import Epoch
from bench.training.training import Report

REMEMBERED_SECONDS = 300.0
"""Over which the time left is reckoned: tests between epochs count, too."""


@contextmanager
def shown(title: str, *, visible: bool) -> Iterator[Callable[[Report], None]]:
    """Show a training on standard error; nothing where another process shows it."""
    if not visible:
        yield lambda _: None
        return
    console = Console(stderr=True)
    with bar_on(console, remembered_seconds=REMEMBERED_SECONDS) as bar:
        task = bar.add_task(title, total=None)

        def tell(report: Report) -> None:
            now = f"{title}: loss {report.loss:.3f}, accuracy {100 * report.accuracy:.1f} %"
            bar.update(task, completed=report.done, total=report.total, description=now)
            if report.epoch is not None:
                console.print(line_of(title, report.epoch), markup=False, soft_wrap=True)

        yield tell


def line_of(title: str, epoch: Epoch) -> str:
    """Say what an epoch gave."""
    return (
        f"{title}, epoch {epoch.number}: loss {epoch.train_loss:.4f}, train error "
        f"{100 * epoch.train_error:.2f} %, test error {100 * epoch.test_error:.2f} %, "
        f"{epoch.train_seconds:.1f} s of training ({epoch.loading_seconds:.1f} s of loading)"
    )
