"""What a worker's wall time is spent on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Spent:
    """Wall seconds by what they were spent on, under the names that a run file has for them."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("timed", "warm-up", "oracle", "tuning", "layers"), 0.0)

    def add(self, what: str, seconds: float) -> None:
        """Count seconds that somebody else has measured."""
        self.seconds[what] += seconds

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count what a block takes, but for what is counted within it."""
        started, counted = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            within = sum(self.seconds.values()) - counted
            self.add(what, time.perf_counter() - started - within)
