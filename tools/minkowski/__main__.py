"""`python -m tools.minkowski`: MinkowskiEngine into this environment, from its published source."""

import argparse
import sys
from pathlib import Path

from platformdirs import user_cache_path

from bench.errors import UserError
from tools.minkowski.target import check_prerequisites, describe
from tools.minkowski.wheel import VERSION, build_wheel, cached_wheel, install, why_not_importable


def main(arguments: list[str] | None = None) -> int:
    """Build and install what is not there yet; exit code 2 where that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        target = describe()
        if options.rebuild or why_not_importable() is not None:
            wheel = None if options.rebuild else cached_wheel(target, options.cache)
            if wheel is None:
                check_prerequisites(target)
                _say(
                    f"building MinkowskiEngine {VERSION} for torch {target.torch}: a minute or two"
                )
                wheel = build_wheel(target, options.cache)
            install(wheel)
    except UserError as error:
        print(f"minkowski: error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    _say(f"MinkowskiEngine {VERSION} is installed for {sys.executable}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.minkowski", description=__doc__)
    parser.add_argument(
        "--cache",
        type=Path,
        default=user_cache_path("sparsebench") / "wheels",
        help="where wheels are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build even if a wheel for this torch is there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
