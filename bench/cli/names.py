"""Names on the command line: nothing here imports torch."""

from bench.errors import UserError


def split(names: str | None) -> list[str] | None:
    """Split a comma-separated option; None stays None."""
    if names is None:
        return None
    items = [name.strip() for name in names.split(",") if name.strip()]
    if not items:
        raise UserError(f"{names!r} names nothing")
    return items
