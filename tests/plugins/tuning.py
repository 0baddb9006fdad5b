"""Implementations that choose something by measuring, or fail to."""

import time

from impls.gather import Gather

SECONDS = 0.05


class Tuning(Gather):
    """Takes its time to choose, at every call."""

    name = "tuning"

    def tune(self, call):
        call()
        time.sleep(SECONDS)


class Untunable(Gather):
    """Fails at its second call, which is the one with gradients."""

    name = "untunable"
    calls = 0

    def tune(self, call):
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("nothing was measured")
