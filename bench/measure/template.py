"""A process that has torch imported and forks workers from it in milliseconds.

Importing torch anew in every worker would cost more than measuring. Each template is a freshly
executed process with an address space layout of its own, so workers of different templates differ as
freshly executed ones do. It starts no threads and does not open CUDA before it forks: a process forked
after that could not use it.
"""

import ctypes
import faulthandler
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn

import msgspec
import torch

from bench.implementation import Implementation
from bench.lifetime import end_with_parent
from bench.measure import worker
from bench.measure.messages import Preparation
from bench.plugins.implementations import load
from bench.plugins.suites import known_suite

LONGEST_MESSAGE = 2**16
LARGEST_FILE_BYTES = 2**30
"""That a worker may write: what a plug-in prints goes into the log."""
AVAILABLE = 3
"""Exit status of who was asked, unlike those of who ran into something."""
DRIVER = "libcuda.so.1"
NOT_INITIALISED = 3
"""What the driver answers before anybody has opened it."""
OPENED = (
    "CUDA was opened in the process that workers are forked from, and they could not use it: "
    "no suite and no prepare() may do that"
)


def serve(control: socket.socket, modules: list[str]) -> None:
    """Answer lines until the other end closes, after a first `ready`.

    `fork`, with a socket attached, is answered with a process number; `wait N` with its exit status;
    `prepare` and a JSON document with `ready`.
    """
    for name in modules:
        importlib.import_module(name)
    _say_ready(control)
    received, descriptors, needs_gpu = b"", list[int](), False
    while True:
        while b"\n" not in received:
            more, attached, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
            if not more:
                return
            received += more
            descriptors += attached
        line, _, received = received.partition(b"\n")
        command, _, argument = line.partition(b" ")
        match command:
            case b"prepare":
                preparation = msgspec.json.decode(argument, type=Preparation)
                needs_gpu |= preparation.device != "cpu"
                _prepare(preparation)
                _say_ready(control)
            case b"fork":
                descriptor = descriptors.pop(0)
                if torch.cuda.is_initialized() or (needs_gpu and is_driver_open()):
                    raise RuntimeError(OPENED)
                child = os.fork()
                if child == 0:
                    control.close()
                    _leave_after(partial(_serve_one_order, descriptor))
                os.close(descriptor)
                control.sendall(f"{child}\n".encode())
            case _:
                _, status = os.waitpid(int(argument), 0)
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(int(argument), signal.SIGKILL)  # what it left behind
                control.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def is_driver_open(driver: str = DRIVER) -> bool:
    """Whether somebody has opened CUDA's driver, which torch only knows of itself."""
    try:
        library = ctypes.CDLL(driver, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:  # nobody has even loaded it
        return False
    count = ctypes.c_int()
    return bool(library.cuDeviceGetCount(ctypes.byref(count)) != NOT_INITIALISED)


def _say_ready(control: socket.socket) -> None:
    gc.collect()
    gc.freeze()
    control.sendall(b"ready\n")


def _prepare(preparation: Preparation) -> None:
    """Have implementations load what their workers would load one by one."""
    if preparation.suite:
        with suppress(Exception):  # a worker will run into it, and say so
            known_suite(preparation.suite)
    torch.set_num_threads(1)  # whatever threads were started here would be missing in the workers
    for reference in preparation.implementations:
        try:
            implementation = load(reference)
            if _is_available(implementation, torch.device(preparation.device)):
                implementation.prepare()
        except (Exception, SystemExit):  # noqa: BLE001  # a worker will run into it, and say so
            traceback.print_exc()


def _is_available(implementation: Implementation, device: torch.device) -> bool:
    """Ask an implementation whether it can run; about a GPU in a process of its own, which ends.

    Whoever asks for a GPU opens CUDA, and no process forked later could use it.
    """
    if device.type == "cpu":
        return implementation.unavailable(device) is None
    child = os.fork()
    if child == 0:
        _leave_after(lambda: AVAILABLE if implementation.unavailable(device) is None else 0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == AVAILABLE


def _serve_one_order(descriptor: int) -> int:
    worker.main(descriptor)
    return 0


def _leave_after(work: Callable[[], int]) -> NoReturn:
    """Do what this process was forked for, then leave with the exit status that comes of it.

    Nothing runs that belongs to the template.
    """
    code = 1
    gc.enable()  # a template looks for garbage only where it says that it is ready
    try:
        _live_no_longer_than_parent()
        faulthandler.enable()
        code = work()
    except BaseException:  # noqa: BLE001  # the last words go to the log, whatever they are
        with suppress(Exception):
            traceback.print_exc()
    finally:
        with suppress(Exception):  # a plug-in may have closed them
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _live_no_longer_than_parent() -> None:
    """Lead a process group, which is ended as a whole, and die with the template."""
    os.setpgid(0, 0)
    end_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = LARGEST_FILE_BYTES if hard == resource.RLIM_INFINITY else min(LARGEST_FILE_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


def main() -> None:
    """Serve on the inherited socket that is the first argument; the others are modules to import."""
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])


if __name__ == "__main__":
    main()
