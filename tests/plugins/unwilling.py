"""Implementations that are right, and raise when asked what they can do."""

from impls.gather import Gather


class RaisesWhenAsked(Gather):
    """Whether it can run here is not to be had."""

    name = "raises_when_asked"

    def unavailable(self, device):
        raise RuntimeError("asked at the wrong moment")


class RaisesOfPhases(Gather):
    """What cannot be timed of it is not to be had."""

    name = "raises_of_phases"

    def unmeasured(self, phase):
        raise RuntimeError("no phases here")
