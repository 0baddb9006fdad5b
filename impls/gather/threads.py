"""Shares a loop out over threads: torch's own ones where they can be had.

After each of torch's parallel operations its OpenMP threads spin for milliseconds, each on a processor.
Threads of another pool would have to wake up beside them; these are awake already.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_info

Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def spread(call: Callable[[int, int], None], count: int, threads: int, unit: int = 1) -> None:
    """Call on [first, last) parts of a range, at the same time.

    There are as many parts as threads, since every part reads all weights; this thread takes over those
    of whoever has not begun, and waits for nobody else.

    Args:
        call: what is called; it must let go of the interpreter for most of its time.
        count: length of the range.
        threads: at most so many.
        unit: parts begin at multiples of it.
    """
    threads = min(count, threads)
    if threads < 2:
        call(0, count)
        return
    size = -(-count // (threads * unit)) * unit
    left = deque((start, min(start + size, count)) for start in range(0, count, size))

    def work() -> None:
        while left:
            try:
                part = left.popleft()
            except IndexError:  # another thread took the last one
                return
            call(*part)

    run = _run_on_torchs() or _run_on_own
    run(work, threads)


@cache
def _run_on_torchs() -> Callable[[Callable[[], None], int], None] | None:
    """How to run on torch's OpenMP threads; None where its library is another than GNU's or LLVM's."""
    parallel = _parallel_region()
    if parallel is None:
        return None

    def run(work: Callable[[], None], threads: int) -> None:
        failures: list[BaseException] = []

        def body(_: int | None) -> None:
            try:
                work()
            except BaseException as failure:  # noqa: BLE001  # C has no way to hand it on
                failures.append(failure)

        parallel(Body(body), None, threads, 0)
        if failures:
            raise failures[0]

    return run


def _parallel_region() -> Any:  # noqa: ANN401
    """GNU OpenMP's entry for a parallel region, of the library that torch has loaded."""
    folder = Path(torch.__file__).parent
    for library in threadpool_info():
        path = Path(library["filepath"])
        if library["user_api"] == "openmp" and path.is_relative_to(folder):
            try:
                parallel = ctypes.CDLL(str(path)).GOMP_parallel
            except (OSError, AttributeError):
                return None
            parallel.argtypes = (Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            parallel.restype = None
            return parallel
    return None


def _run_on_own(work: Callable[[], None], threads: int) -> None:
    helpers = _helpers(os.getpid(), threads - 1)
    waiting = [helpers.submit(work) for _ in range(threads - 1)]
    work()
    for future in waiting:
        if not future.cancel():
            future.result()


@cache
def _helpers(process: int, count: int) -> ThreadPoolExecutor:
    """Threads of this process: those of a parent do not survive a fork."""
    return ThreadPoolExecutor(count, thread_name_prefix=f"gather-{process}")
