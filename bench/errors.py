"""The one exception type that a user sees, a mistake that they can correct; any other in a line."""

import traceback
from pathlib import Path


class UserError(Exception):
    """A mistake of the user's: one line that says what, where and what to do; exit code 2."""


class DataError(UserError):
    """A data file, run file or archive that cannot be used as it is."""


class ForeignFileError(DataError):
    """A file that is whole, and something else than what is looked for."""


class MissingDataError(DataError):
    """A data file that is not there: others can be measured without it."""


LONGEST_WORDS = 10_000


def writable(text: str) -> str:
    """Words of a plug-in's as a file can hold them: in UTF-8, and not beyond all measure."""
    cut = text if len(text) <= LONGEST_WORDS else text[:LONGEST_WORDS] + " ..."
    return cut.encode(errors="backslashreplace").decode()


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return _first_line(error) or type(error).__name__


def kind_and_line(error: BaseException) -> str:
    """The kind of an exception, and the first line of what it says, if anything."""
    text = _first_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def kind_line_and_place(error: BaseException) -> str:
    """An exception's kind, the first line of what it says, and the place where it was raised."""
    said = f"{type(error).__name__}: {_first_line(error) or 'no message'}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{said} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else said


def whole_text(error: BaseException) -> str:
    """All that an exception says, in one line, or its kind where it says nothing."""
    return writable(" ".join(str(error).split())) or type(error).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return writable(text[0]) if text else ""
