"""Builds the kernels with the host's compiler and launches them there: `HostLauncher`."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

from torch import Tensor

from impls.cuda.launching import FOLDER, Launcher, all_kernels

HERE = Path(__file__).parent
COMPILER = shutil.which("g++")
FLAGS = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-U_FORTIFY_SOURCE",
    "-fno-gnu-unique",
    "-Wall",
    "-Wextra",
]
FLAGS += ["-Wno-unknown-pragmas", "-Werror"]
# Every access is a call to races.h; the library of that name is not linked.
FLAGS += ["-fsanitize=thread", "-fno-threadsafe-statics"]
COUNTING_FLAGS = ["-DCOUNT_TRAFFIC", "-gdwarf-4"]
"""Of libraries that count memory traffic (traffic.cpp), by line of the source."""
ARGUMENTS = "blocks, threads, shared, given, seed"
MULTIPROCESSORS = 2


def translation_unit(file, names):
    """Stand-ins, the kernels' own file, and a door to each instantiation."""
    doors = "\n".join(
        f"        case {number}: return cuda_on_host::launch(&{name}, {ARGUMENTS});"
        for number, name in enumerate(names)
    )
    sizes = "\n".join(
        f"        case {number}: return cuda_on_host::parameter_bytes(&{name});"
        for number, name in enumerate(names)
    )
    return f"""#include "built_ins.h"
#include "{file}"
extern "C" const char* launch(int number, const unsigned* blocks, unsigned threads,
                              unsigned shared, const void* given, unsigned seed) {{
    switch (number) {{
{doors}
    }}
    return "no such kernel";
}}
extern "C" std::size_t parameter_bytes(int number) {{
    switch (number) {{
{sizes}
    }}
    return 0;
}}
extern "C" void let_touch(const cuda_on_host::Memory* memories, std::size_t count) {{
    cuda_on_host::memories.assign(memories, memories + count);
}}
"""


@cache
def library(file, names, folder, *, counting=False):
    """The compiled kernels of a file; kept by digest, so that they are compiled once."""
    flags = [*FLAGS, *COUNTING_FLAGS] if counting else FLAGS
    own = FOLDER / file if (FOLDER / file).exists() else HERE / file
    stand_ins = [HERE / name for name in ("ptx.cuh", "built_ins.h", "races.h", "traffic.cpp")]
    parts = [own, *sorted(FOLDER.glob("*.cuh")), *stand_ins]
    text = translation_unit(file, names)
    everything = [text.encode(), " ".join(flags).encode(), *(part.read_bytes() for part in parts)]
    digest = hashlib.sha256(b"\0".join(everything)).hexdigest()[:20]
    kept = folder / f"{file}-{digest}.so"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=folder) as name:
            source, built = Path(name) / "kernels.cpp", Path(name) / "kernels.so"
            compiled = source.with_suffix(".o")
            source.write_text(text)
            command = [COMPILER, *flags, f"-I{HERE}", f"-I{FOLDER}", "-c", source]
            subprocess.run([*command, "-o", compiled], check=True)
            together = [COMPILER, "-shared", "-fPIC", "-O2", "-std=c++17", compiled]
            together += [HERE / "traffic.cpp"] if counting else []
            subprocess.run([*together, "-o", built], check=True)
            built.rename(kept)  # whole or not at all, as other processes may build it too
    loaded = ctypes.CDLL(str(kept))
    loaded.launch.restype = ctypes.c_char_p
    loaded.parameter_bytes.restype = ctypes.c_size_t
    return loaded


class _Memory(ctypes.Structure):
    """Of races.h."""

    _fields_ = (("first", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


_bytes_at = {}
"""Of the tensor that was last asked for an address, by this address."""


@contextmanager
def tensors_only():
    """While it lasts, a launch that touches anything but tensors it is given ends with a message."""
    address_of = Tensor.data_ptr

    def remembered(tensor):
        address = address_of(tensor)
        _bytes_at[address] = tensor.nbytes
        return address

    with mock.patch.object(Tensor, "data_ptr", remembered):
        yield
    _bytes_at.clear()


def _addresses(parameters):
    """What a structure points to."""
    for name, kind in parameters._fields_:
        value = getattr(parameters, name)
        if issubclass(kind, ctypes.Structure):
            yield from _addresses(value)
        elif kind is ctypes.c_void_p and value is not None:
            yield value


def run(loaded, number, blocks, threads, parameters, seed=0, shared_bytes=0):
    """Launch a kernel of a library by its place among the names; raise what goes wrong."""
    whole = (*blocks, 1, 1)[:3]
    given = ctypes.byref(parameters)
    addresses = set(_addresses(parameters)) if _bytes_at else ()
    memories = [_Memory(address, _bytes_at[address]) for address in addresses]
    loaded.let_touch((_Memory * len(memories))(*memories), ctypes.c_size_t(len(memories)))
    fault = loaded.launch(number, (ctypes.c_uint * 3)(*whole), threads, shared_bytes, given, seed)
    if fault is not None:
        raise RuntimeError(fault.decode())


class HostLauncher(Launcher):
    """Launches on the CPU.

    Args:
        folder: where compiled kernels are kept.
        seed: of the order in which threads and blocks run; 0 for ascending.
        most_shared_bytes: of a block; by default as on the largest GPUs.
    """

    def __init__(self, folder, seed=0, most_shared_bytes=227 * 2**10):
        self.folder = folder
        self.seed = seed
        self.most_shared_bytes = most_shared_bytes
        self.launched = []

    def shared_bytes(self, device):
        return self.most_shared_bytes

    def multiprocessors(self, device):
        return MULTIPROCESSORS

    def compile(self, kernel, device):
        self._find(kernel)

    def launch(self, kernel, blocks, parameters, device):
        self.launched.append(kernel)
        assert kernel.shared_bytes <= self.most_shared_bytes
        given = (kernel.threads, parameters, self.seed, kernel.shared_bytes)
        run(*self._find(kernel), blocks, *given)

    def parameter_bytes(self, kernel):
        loaded, number = self._find(kernel)
        return loaded.parameter_bytes(number)

    def _find(self, kernel):
        names = _names(kernel.file)
        return library(kernel.file, names, self.folder), names.index(kernel.name)


@cache
def _names(file):
    return tuple(kernel.name for kernel in all_kernels() if kernel.file == file)
