"""What commands say by their exit code. Imports nothing heavy: `python -m bench` begins here."""

from enum import IntEnum


class ExitCode(IntEnum):
    """An exit code; some commands leave some out."""

    FINE = 0
    SLOWER = 1
    """Something became slower."""
    MISTAKE = 2
    """The user's: on the command line, or in a file."""
    UNKNOWN = 3
    """Nothing could be measured or checked, or too little is known to say."""
    WRONG = 4
    """An implementation is wrong, fails or hangs, or has lost a time that it had."""
    FAULT = 70
    """sysexits.h: a fault of the software."""
    INTERRUPTED = 130
    """As by a shell: 128 and the number of SIGINT."""
    BROKEN_PIPE = 141
    """Likewise, of SIGPIPE."""
