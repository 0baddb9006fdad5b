"""Quantities on the command line, also pytest's: what is none is told by what is wanted instead."""

from argparse import ArgumentTypeError

LARGEST_SEED = 2**63 - 1
"""What torch's generators take, and a run file's integers hold."""
MOST_THREADS = 1024
"""More than any machine has processors; torch ends the process when threads cannot be started."""


def positive(text: str) -> int:
    """Read an option that counts something."""
    value = _whole(text)
    if value is None or value < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def not_negative(text: str) -> int:
    """Read an option that is a number from 0 on."""
    value = _whole(text)
    if value is None or value < 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return value


def seed(text: str) -> int:
    """Read an option that random numbers are drawn from."""
    value = _whole(text)
    if value is None or not 0 <= value <= LARGEST_SEED:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 to {LARGEST_SEED}")
    return value


def threads(text: str) -> int:
    """Read an option that says how many threads compute."""
    value = _whole(text)
    if value is None or not 1 <= value <= MOST_THREADS:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_THREADS}")
    return value


def positive_float(text: str) -> float:
    """Read an option that measures something."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a positive, finite number")
    return value


def shard(text: str) -> tuple[int, int]:
    """Read an option such as `2/8`: the second of eight parts."""
    number, _, count = text.partition("/")
    part, parts = _whole(number), _whole(count)
    if part is None or parts is None or not 1 <= part <= parts:
        raise ArgumentTypeError(f"{text!r} is not I/N with 1 <= I <= N, such as 1/4")
    return part, parts


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
