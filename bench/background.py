"""What an inactive site of a network holds after a layer."""

from enum import StrEnum


class Background(StrEnum):
    """The two background modes of a network.

    `zero`: inactive sites are 0 after every layer, as in every modern library. `ground_state`: they
    hold the constant that the plain dense network would compute there, so that the sparse network
    equals the dense one exactly, biases included (Graham 2014).
    """

    ZERO = "zero"
    GROUND_STATE = "ground_state"
