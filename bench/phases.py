"""The phases that are timed: named, and equal for every implementation."""

from enum import StrEnum


class Phase(StrEnum):
    """A timed region, in the words of the report."""

    ENCODE = "encode"
    MAP = "map"
    FORWARD = "forward"
    BACKWARD = "backward"
    DECODE = "decode"
    FORWARD_COLD = "forward_cold"
    TRAIN_STEP = "train_step"

    @property
    def needs_gradients(self) -> bool:
        """Whether a time of this phase presupposes that gradients were checked."""
        return self in {Phase.BACKWARD, Phase.TRAIN_STEP}

    @property
    def is_cold(self) -> bool:
        """Whether encoding and the kernel map lie inside the timed region."""
        return self in {Phase.FORWARD_COLD, Phase.TRAIN_STEP}


HEADLINE = (Phase.FORWARD, Phase.FORWARD_COLD, Phase.TRAIN_STEP)
"""The phases that users live with: what verdicts, overviews and curves show."""

TIMED_REGION = {
    Phase.ENCODE: "canonical sparse batch on the device to the native tensor",
    Phase.MAP: "building the kernel map, on a native tensor that has none",
    Phase.FORWARD: "native tensor to native tensor, kernel map cached, no gradients recorded",
    Phase.BACKWARD: "gradients at weights and, for a single layer, at input features, from a recorded "
    "warm forward pass",
    Phase.DECODE: "native tensor to canonical sparse batch, output coordinates included",
    Phase.FORWARD_COLD: "encode, kernel map and forward, from coordinates never seen before",
    Phase.TRAIN_STEP: "encode, kernel map, forward, sum of the output as loss, backward",
}
"""What lies inside the timed region unless an implementation says otherwise."""

TIMED_REGION_FROM_DENSE = {
    Phase.FORWARD_COLD: "forward and any mask, from a dense tensor: there is nothing to encode",
    Phase.TRAIN_STEP: "any mask, forward, sum of the output as loss, backward, from a dense tensor",
}
"""The same for an implementation whose users hold a dense tensor to begin with."""
