"""What stops a training on its way, so that whoever saves checkpoints can say which is left."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import UserError, kind_line_and_place


class StoppedError(UserError):
    """A training cannot go on: it diverged, or its implementation failed. What was saved is whole."""


@contextmanager
def blamed(name: str, when: str) -> Iterator[None]:
    """Say in a line what an implementation raises in what is done here.

    Args:
        name: the implementation's.
        when: the step or test, in words.

    Raises:
        StoppedError: for any exception that is no UserError.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise StoppedError(f"{name} failed {when}: {kind_line_and_place(error)}") from error
