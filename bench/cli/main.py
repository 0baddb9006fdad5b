"""Parses the command line and turns a user's mistake into one line and exit code 2."""

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from threading import current_thread, main_thread
from typing import Any, NoReturn

from bench.cli import ab, check, compare, data, history, listing, report, run, train
from bench.errors import UserError
from bench.exit_codes import ExitCode

DESCRIPTION = """\
Compare sparse and dense convolution on this machine: every implementation is checked before it is
timed, all of them are measured in interleaved rounds, and every ratio carries its interval."""
BY_SIGNAL = 128
"""Plus its number: the exit code of who was ended by a signal, as shells tell it."""
TIDYING_SECONDS = 5.0
POSIX_ONLY = {"fcntl", "resource"}
"""Modules that Windows has no counterpart of."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG}
"""What writing fails with on a full or read-only disk, or under a name that is too long: the user's to
put right, wherever it strikes."""


class _Parser(argparse.ArgumentParser):
    """An argument parser that says one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.MISTAKE, f"sparsebench: error: {message}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Parse; what no command knows is that command's to refuse, whose help says what it knows."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    parser = _Parser(prog="sparsebench", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for command in (listing, check, run, report, compare, ab, history, data, train):
        command.add_parser(commands)
    parsed = parser.parse_args(arguments)
    with _ended_as_interrupted() as ending:
        try:
            code = _run(parsed)
        except Exception:
            if not ending:
                raise
            _say_interrupted()  # a library made something else of it
    return BY_SIGNAL + ending[0] if ending else code


@contextmanager
def _ended_as_interrupted() -> Iterator[list[int]]:
    """Have whoever ends this process interrupt it, so that it tidies up; gives the signals that came.

    For some seconds after the first one others are ignored, as they would cut the tidying up short.

    A signal that is ignored, as SIGHUP is under nohup, stays so, and none can be caught in a thread.
    """
    came: list[int] = []
    heard_again = 0.0

    def interrupt(number: int, _: object) -> None:
        nonlocal heard_again
        if not came or time.monotonic() > heard_again:
            came.append(number)
            heard_again = time.monotonic() + TIDYING_SECONDS
            raise KeyboardInterrupt

    names = ("SIGINT", "SIGTERM", "SIGHUP") if current_thread() is main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in numbers}
    caught = {number: handler for number, handler in before.items() if handler in usual}
    for number in caught:
        signal.signal(number, interrupt)
    try:
        yield came
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)


def _run(parsed: argparse.Namespace) -> int:
    """Run a parsed command; return its exit code."""
    try:
        return int(parsed.run(parsed))
    except UserError as error:
        print(f"sparsebench: error: {error}", file=sys.stderr)  # noqa: T201
        return ExitCode.MISTAKE
    except ModuleNotFoundError as error:
        if error.name not in POSIX_ONLY:
            raise
        wanted = (
            "measuring needs fork and resource limits: use Linux, "
            "or the Windows Subsystem for Linux"
        )
        print(f"sparsebench: error: {wanted}", file=sys.stderr)  # noqa: T201
        return ExitCode.MISTAKE
    except KeyboardInterrupt:
        _say_interrupted()
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more may be written, at exit included.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f" {error.filename}" if error.filename else ""
        print(f"sparsebench: error: cannot write{where}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return ExitCode.MISTAKE


def _say_interrupted() -> None:
    print("sparsebench: interrupted", file=sys.stderr)  # noqa: T201


def _version() -> str:
    try:
        return f"sparsebench {version('sparsebench')}"
    except PackageNotFoundError:
        return "sparsebench, not installed"
