"""Kernels compiled by CuPy and started on torch's current stream, on torch's memory.

Tensors are handed over by address: nothing is copied, and no array of CuPy's is made for a call.
Memory that torch frees is handed out again in the order of the stream, so no kernel loses its own.
"""

import threading
from ctypes import Structure, addressof, c_void_p
from functools import cache
from typing import Any

import cupy
import torch
from cupy.cuda import driver

from bench.implementation import source_digest
from impls.cuda.launching import FOLDER, Kernel, Launcher

MOST_SHARED_MEMORY = 97
"""cudaDevAttrMaxSharedMemoryPerBlockOptin."""
OPTIONS = ("-std=c++17", f"-I{FOLDER}")


class CupyLauncher(Launcher):
    """Compiles each kernel when it is first needed; CuPy keeps the result on disk."""

    def multiprocessors(self, device: torch.device) -> int:
        """Of the GPU."""
        return _multiprocessors(_number(device))

    def shared_bytes(self, device: torch.device) -> int:
        """Of the GPU: from 99 KiB on small ones to 227 KiB."""
        return _shared_bytes(_number(device))

    def compile(self, kernel: Kernel, device: torch.device) -> None:
        """Compile and load it, which takes seconds the first time."""
        number = _number(device)
        with torch.cuda.device(number):
            _open(number)
            _compile(kernel, number)

    def launch(
        self,
        kernel: Kernel,
        blocks: tuple[int, int, int],
        parameters: Structure,
        device: torch.device,
    ) -> None:
        """Start it on torch's current stream."""
        number = _number(device)
        stream = torch.cuda.current_stream(device).cuda_stream
        arguments = (c_void_p * 1)(addressof(parameters))
        with torch.cuda.device(number):
            _open(number)
            function = _compile(kernel, number)
            threads = (kernel.threads, 1, 1)
            given = (kernel.shared_bytes, stream, addressof(arguments), 0)
            driver.launchKernel(function.ptr, *blocks, *threads, *given)


CUPY_LAUNCHER = CupyLauncher()


class _Opened(threading.local):
    """Numbers of the GPUs that a thread can launch on."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()


_OPENED = _Opened()


def _open(number: int) -> None:
    """Before a thread's first launch on a GPU, make its context the thread's own.

    The driver launches in the thread's context, and autograd's backward thread may have none: torch
    makes it one when it first calls the runtime there.
    """
    if number not in _OPENED.numbers:
        cupy.cuda.runtime.setDevice(number)
        _OPENED.numbers.add(number)


@cache
def _compile(kernel: Kernel, number: int) -> Any:  # noqa: ANN401  # CuPy has no types
    """A kernel on the GPU of a number, which is the current one."""
    del number
    # CuPy's cache knows the text that it is given, not the files that this includes.
    source = f'// {digest()}\n#include "{kernel.file}"\n'
    module = cupy.RawModule(code=source, options=OPTIONS, name_expressions=[kernel.name])
    function = module.get_function(kernel.name)
    if kernel.shared_bytes:  # or the driver refuses to give more than 48 KiB
        function.max_dynamic_shared_size_bytes = kernel.shared_bytes
    return function.kernel


@cache
def digest() -> str:
    """Of all kernels' sources."""
    return source_digest(FOLDER, "*.cu*")


@cache
def _multiprocessors(number: int) -> int:
    return int(torch.cuda.get_device_properties(number).multi_processor_count)


@cache
def _shared_bytes(number: int) -> int:
    return int(cupy.cuda.runtime.deviceGetAttribute(MOST_SHARED_MEMORY, number))


def _number(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
