"""The time of day, in the two forms in which it is written down."""

from datetime import UTC, datetime


def now() -> str:
    """The time as a run file tells it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def stamp() -> str:
    """The time as the names of files tell it: the same, in digits that sort."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
