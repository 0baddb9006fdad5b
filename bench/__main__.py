"""The command line: `sparsebench`, or `python -m bench`."""

import sys

from bench.cli.main import main as _main


def main() -> None:
    """Run a command and leave with its exit code."""
    sys.exit(_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
