"""Names on the command line: nothing here imports torch."""

from bench.errors import UserError


def split(names: str | None) -> list[str] | None:
    """Split a comma-separated option; None stays None.

    Raises:
        UserError: if it names nothing, or what no other process can be told in UTF-8.
    """
    if names is None:
        return None
    try:
        names.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{names!a} is not UTF-8: rename the file") from error
    items = [name.strip() for name in names.split(",") if name.strip()]
    if not items:
        raise UserError(f"{names!r} names nothing")
    return items
