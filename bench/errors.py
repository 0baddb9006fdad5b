"""The one exception type that a user sees: a mistake that they can correct."""


class UserError(Exception):
    """A mistake of the user's: one line that says what, where and what to do; exit code 2."""


class DataError(UserError):
    """A data file, run file or archive that cannot be used as it is."""


class ForeignFileError(DataError):
    """A file that is whole, and something else than what is looked for."""


class MissingDataError(DataError):
    """A data file that is not there: others can be measured without it."""
