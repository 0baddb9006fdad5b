"""`python -m tools.kernels`: compile every CUDA kernel, without a GPU, and show what each needs.

NVRTC comes from PyPI's `nvidia-cuda-nvrtc`; no toolkit and no driver are needed.
"""

import argparse
import ctypes
import importlib.util
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from bench.errors import UserError
from impls.cuda.launching import FOLDER, Kernel, all_kernels

ARCHITECTURES = ("sm_80", "sm_90")
OPTIONS = (
    "-std=c++17",
    f"-I{FOLDER}",
    "-ftz=true",  # this and the next are CuPy's own, which it adds to whatever it is given
    "--device-as-default-execution-space",
    "--ptxas-options=-v",
)
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel needs.

    Attributes:
        registers: of a thread.
        shared_bytes: of a block, its own and what a launch gives.
        stack_bytes: of a thread, in slow local memory.
        spill_bytes: stored to and loaded from local memory because registers ran out.
    """

    kernel: Kernel
    architecture: str
    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each kernel and architecture; exit code 2 where one does not compile."""
    parser = argparse.ArgumentParser(prog="python -m tools.kernels", description=__doc__)
    parser.add_argument("--arch", nargs="+", default=ARCHITECTURES, help="such as sm_90")
    options = parser.parse_args(arguments)
    try:
        for one in chain.from_iterable(map(compile_all, options.arch)):
            print(  # noqa: T201
                f"{one.architecture}  {one.registers:3} registers  {one.shared_bytes:6} B shared  "
                f"{one.stack_bytes:3} B stack  {one.spill_bytes:3} B spilled  {one.kernel.name}",
                flush=True,
            )
    except UserError as error:
        print(f"kernels: error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def compile_all(architecture: str) -> Iterator[Resources]:
    """Compile every kernel that may be launched, file by file.

    Raises:
        UserError: if NVRTC is missing or a file does not compile; the message holds its log.
    """
    files: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in all_kernels():
        files[kernel.file].append(kernel)
    for file, kernels in files.items():
        yield from compile_file(file, kernels, architecture)


def compile_file(file: str, kernels: list[Kernel], architecture: str) -> list[Resources]:
    """Compile some kernels of a file; see `compile_all`."""
    library = nvrtc()
    program = ctypes.c_void_p()
    source = (FOLDER / file).read_bytes()
    _call("nvrtcCreateProgram", ctypes.byref(program), source, file.encode(), 0, None, None)
    try:
        for kernel in kernels:
            _call("nvrtcAddNameExpression", program, kernel.name.encode())
        options = [option.encode() for option in (*OPTIONS, f"-arch={architecture}")]
        given = (ctypes.c_char_p * len(options))(*options)
        failed = library.nvrtcCompileProgram(program, len(options), given)
        log = _log(program)
        if failed:
            raise UserError(f"{file} does not compile for {architecture}:\n{log}")
        entries = _entries(log)
        return [
            _resources(kernel, architecture, entries[_lowered(program, kernel)])
            for kernel in kernels
        ]
    finally:
        _call("nvrtcDestroyProgram", ctypes.byref(program))


@cache
def nvrtc() -> ctypes.CDLL:
    """Load NVIDIA's run-time compiler.

    Raises:
        UserError: if its package is not installed.
    """
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        for found in sorted(Path(folder).glob("*/lib/libnvrtc.so.*"), reverse=True):
            return ctypes.CDLL(str(found))
    raise UserError("NVRTC is not installed; `pip install nvidia-cuda-nvrtc` installs it")


def _call(function: str, *arguments: object) -> None:
    status = getattr(nvrtc(), function)(*arguments)
    if status:
        raise UserError(f"NVRTC's {function} fails with status {status}")


def _log(program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    _call("nvrtcGetProgramLogSize", program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    _call("nvrtcGetProgramLog", program, log)
    return log.value.decode()


def _lowered(program: ctypes.c_void_p, kernel: Kernel) -> str:
    name = ctypes.c_char_p()
    _call("nvrtcGetLoweredName", program, kernel.name.encode(), ctypes.byref(name))
    return (name.value or b"").decode()


def _entries(log: str) -> dict[str, str]:
    """What the assembler says of each entry function."""
    parts = ENTRY.split(log)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _resources(kernel: Kernel, architecture: str, said: str) -> Resources:
    stack, stores, loads = map(int, _found(STACK, said).groups())
    shared = SHARED.search(said)
    return Resources(
        kernel,
        architecture,
        registers=int(_found(REGISTERS, said)[1]),
        shared_bytes=(int(shared[1]) if shared else 0) + kernel.shared_bytes,
        stack_bytes=stack,
        spill_bytes=stores + loads,
    )


def _found(pattern: re.Pattern[str], said: str) -> re.Match[str]:
    match = pattern.search(said)
    if match is None:
        raise UserError(f"the assembler says {said!r}, and {pattern.pattern!r} was expected")
    return match


if __name__ == "__main__":
    sys.exit(main())
