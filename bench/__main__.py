"""The command line: `sparsebench`, or `python -m bench`."""

import io
import os
import sys
from contextlib import suppress

INTERRUPTED = 130


def main() -> None:
    """Run a command and leave with its exit code, at once: torch takes 0.6 s to take itself apart."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # which may know fewer characters than we print
            stream.reconfigure(errors="backslashreplace")
    try:
        from bench.cli.main import main as run  # noqa: PLC0415  # takes long enough for a Ctrl-C

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("sparsebench: interrupted", file=sys.stderr)  # noqa: T201
        code = INTERRUPTED
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
