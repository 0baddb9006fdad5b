"""The command line: `sparsebench`, or `python -m bench`."""

import io
import os
import sys
import traceback
from contextlib import suppress

from bench.exit_codes import ExitCode


def main() -> None:
    """Run a command and leave with its exit code, at once: torch takes 0.6 s to take itself apart."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # which may know fewer characters than we print
            stream.reconfigure(errors="backslashreplace")
    try:
        from bench.cli.main import main as run  # noqa: PLC0415  # takes long enough for a Ctrl-C

        code: int = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("sparsebench: interrupted", file=sys.stderr)  # noqa: T201
        code = ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001  # whatever it is, nobody foresaw it
        traceback.print_exc()
        print("sparsebench: a fault of sparsebench itself; please report it", file=sys.stderr)  # noqa: T201
        code = ExitCode.FAULT
    with suppress(BrokenPipeError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # `>&-`: there was none to begin with
                stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
