"""Quantities on the command line, also pytest's: what is none is told by what is wanted instead."""

from argparse import ArgumentTypeError

LARGEST_SEED = 2**63 - 1
"""What torch's generators take, and a run file's integers hold."""
MOST_THREADS = 1024
"""More than any machine has processors; torch ends the process when threads cannot be started."""


def positive(text: str) -> int:
    """Read an option that counts something."""
    return _within(text, 1)


def not_negative(text: str) -> int:
    """Read an option that is a number from 0 on."""
    return _within(text, 0)


def seed(text: str) -> int:
    """Read an option that random numbers are drawn from."""
    return _within(text, 0, LARGEST_SEED)


def threads(text: str) -> int:
    """Read an option that says how many threads compute."""
    return _within(text, 1, MOST_THREADS)


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


def _within(text: str, least: int, most: int | None = None) -> int:
    value = _whole(text)
    if value is None or value < least or (most is not None and value > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ArgumentTypeError(f"{text!r} is not a whole number {wanted}")
    return value


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
