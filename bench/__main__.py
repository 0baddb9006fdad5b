"""The command line: `sparsebench`, or `python -m bench`."""

import os
import sys
from contextlib import suppress

from bench.cli.main import main as _main


def main() -> None:
    """Run a command and leave with its exit code, at once: torch takes 0.6 s to take itself apart."""
    code = _main(sys.argv[1:])
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
