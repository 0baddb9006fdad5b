"""Throws damaged input at the readers of what strangers may send: each must read it or say one line.

    python -m tools.fuzz [TARGET...] [--executions 200000] [--seed 0] [--keep FOLDER]

Inputs are the seeds below, mutated: bits flipped, parts cut out, repeated, swapped between seeds,
numbers made extreme. With `--atheris`, Google's fuzzer of that name chooses the mutations by the
branches that they reach (`pip install atheris`). What ends in anything but the documented error, or
takes seconds, is written to `--keep`, and belongs into tests/tools/corpus, where the tests try it again
for ever.
"""

import argparse
import atexit
import gzip
import hashlib
import inspect
import io
import random
import shutil
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from bench.errors import DataError
from bench.results.store import Journal, decode
from suites.data.archives import members
from suites.data.idx import parse_idx
from suites.data.jpeg import decode as decode_jpeg
from suites.data.npz import Expected, read_arrays
from suites.data.ply import parse_ply
from suites.data.recording import parse

WATCHED = ("bench.results", "suites.data", "tarfile", "zipfile", "gzip", "_compression")
MOST_BYTES = 20_000
LONGEST_SECONDS = 5.0
"""Of the processor, for one input: what takes longer is no way to read so few bytes."""
TOKENS = (
    *(
        b"0",
        b"-1",
        b"1e400",
        b"NaN",
        b"null",
        b"{}",
        b"[]",
        b'""',
        b"\0",
        b"\xff\xff\xff\xff",
        b"\n",
    ),
    *(
        b"99999999999999999999",
        b"../",
        b"/etc/passwd",
        b"PEN_DOWN\n",
        b"element vertex 999999999999\n",
    ),
    *(
        b"\x7f\xff\xff\xff",
        b"\x80\0\0\0",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b'"schema":99',
        b"end_header\n",
    ),
)
PUBLISHED = Path(__file__).parents[1] / "tests/bench/results/golden/run-schema-1.json"
RECORDING = (
    b"CHARACTER_NAME: A\nSTROKE_COUNT: 2\n  X  Y  STYLUS_STATE STROKE\nPEN_DOWN\n10 20 1 1\n12 25 1 1\n"
    b"PEN_UP 0\nPEN_DOWN\n30 20 1 2\n31 22 1 2\nPEN_UP 0\nEND_CHARACTER: A\n"
)
PLY = (
    b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
    b"property uchar red\nend_header\n" + struct.pack("<ffBffB", 1, 2, 3, 4, 5, 6)
)

Reader = Callable[[bytes], object]


def _idx_seed() -> bytes:
    return gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24)), mtime=0)


def _tar_seed(mode: Literal["w", "w:gz"]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name in ("W1/1.1.txt", "W2/1.2.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = len(RECORDING)
            archive.addfile(entry, io.BytesIO(RECORDING))
    return buffer.getvalue()


def _zip_seed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("W1/1.1.txt"), RECORDING)
        archive.writestr(zipfile.ZipInfo("inner.tar.gz"), _tar_seed("w:gz"))
    return buffer.getvalue()


def _npz_seed() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, points=np.arange(6, dtype=np.float32).reshape(2, 3))
    return buffer.getvalue()


def _jpeg_seed() -> bytes:
    from PIL import Image  # noqa: PLC0415

    buffer = io.BytesIO()
    pixels = np.arange(24 * 16 * 3, dtype=np.uint32) * 37 % 256
    Image.fromarray(pixels.astype(np.uint8).reshape(24, 16, 3)).save(buffer, "JPEG")
    return buffer.getvalue()


class _File:
    """A reader of paths, given bytes: they lie in memory's file system where there is one."""

    def __init__(self, read: Callable[[Path], object], name: str = "input") -> None:
        self._name = name
        self._read = read
        self._folder: Path | None = None

    def __call__(self, content: bytes) -> object:
        if self._folder is None:
            memory = Path("/dev/shm")  # noqa: S108
            place = memory if memory.is_dir() else None
            self._folder = Path(tempfile.mkdtemp(prefix="sparsebench-fuzz-", dir=place))
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / self._name
        path.write_bytes(content)
        return self._read(path)


def _journal(path: Path) -> object:
    return Journal(path.with_name(path.name.removesuffix(".partial"))).read()


def _journal_seed() -> bytes:
    run = decode(PUBLISHED.read_bytes(), "seed")
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "run.json")
        journal.begin(run.header)
        for unit in run.units:
            journal.add(unit)
        return journal.path.read_bytes()


def targets() -> dict[str, tuple[Reader, list[bytes]]]:
    """Every reader, by name, with the inputs that mutation begins with."""
    arrays = {"points": Expected("f", (None, 3))}
    return {
        "run": (lambda data: decode(data, "input"), [PUBLISHED.read_bytes()]),
        "journal": (_File(_journal, "input.partial"), [_journal_seed()]),
        "idx": (lambda data: parse_idx(data, 3, "input"), [_idx_seed()]),
        "recording": (lambda data: parse(data, "W1/1.1.txt"), [RECORDING]),
        "ply": (lambda data: parse_ply(data, "input"), [PLY]),
        "jpeg": (lambda data: decode_jpeg(data, (8, 8), "input"), [_jpeg_seed()]),
        "npz": (_File(lambda path: read_arrays(path, arrays), "input.npz"), [_npz_seed()]),
        "archive": (
            _File(lambda path: list(members(path, lambda *_: True, nested="inner.tar.gz"))),
            [_tar_seed("w"), _tar_seed("w:gz"), _zip_seed()],
        ),
    }


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One damaged input."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = chance.randrange(len(data) + 1)
        end = min(len(data), place + chance.choice((1, 2, 4, 8, 64, 512)))
        match chance.randrange(7):
            case 0 if place < len(data):
                data[place] ^= 1 << chance.randrange(8)
            case 1:
                del data[place:end]
            case 2:
                data[place:place] = data[place:end]
            case 3:
                data[place:end] = chance.choice(TOKENS)
            case 4:
                data[place:end] = chance.randbytes(end - place)
            case 5:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                data[place:end] = other[start : start + end - place]
            case _:
                del data[place:]
    return bytes(data[:MOST_BYTES])


def fault(read: Reader, data: bytes) -> str | None:
    """What is wrong with how a reader took an input; None where it read it or said one line."""
    began = time.process_time()
    try:
        read(data)
    except DataError as error:
        if "\n" in str(error):
            return f"more than a line: {error}"
    except Exception:  # noqa: BLE001  # that is what is looked for
        return traceback.format_exc()
    seconds = time.process_time() - began
    return f"took {seconds:.0f} s of the processor" if seconds > LONGEST_SECONDS else None


def main(arguments: Sequence[str]) -> int:
    """Fuzz, and return 1 if anything was found."""
    every = targets()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*every, []], metavar="TARGET")
    parser.add_argument("--executions", type=int, default=200_000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="where findings go")
    parser.add_argument("--atheris", action="store_true", help="of one target, guided by coverage")
    parsed = parser.parse_args(arguments)
    chosen = parsed.targets or list(every)
    if parsed.atheris:
        return _with_atheris(chosen[0], parsed)
    found = 0
    for name in chosen:
        read, seeds = every[name]
        chance = random.Random(f"{parsed.seed} {name}")  # noqa: S311
        faults = 0
        for _ in range(parsed.executions):
            data = mutated(seeds, chance)
            wrong = fault(read, data)
            if wrong is not None:
                faults += 1
                _keep(parsed.keep, name, data, wrong)
        print(f"{name}: {parsed.executions:,} executions, {faults} faults", flush=True)  # noqa: T201
        found += faults
    return int(found > 0)


def _keep(folder: Path, name: str, data: bytes, wrong: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    print(f"{path}: {wrong.strip().splitlines()[-1]}", flush=True)  # noqa: T201


def _with_atheris(name: str, parsed: argparse.Namespace) -> int:
    import atheris  # noqa: PLC0415

    read, seeds = targets()[name]
    for read_seed in seeds:
        read(read_seed)  # whatever is imported late is there to be instrumented
    for module in [module for each, module in sys.modules.items() if _is_watched(each)]:
        _instrument(atheris, module)
    with tempfile.TemporaryDirectory(prefix="sparsebench-corpus-") as corpus:
        for number, data in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(data)

        def one(data: bytes) -> None:
            wrong = fault(read, data)
            if wrong is not None:
                _keep(parsed.keep, name, data, wrong)
                raise AssertionError(wrong)

        atheris.Setup(
            [sys.argv[0], f"-runs={parsed.executions}", f"-max_len={MOST_BYTES}", corpus], one
        )
        atheris.Fuzz()
    return 0


def _is_watched(module: str) -> bool:
    """Whether a module takes part in reading: ours, and what unpacks for it."""
    return module.startswith(WATCHED)


def _instrument(atheris: Any, module: ModuleType) -> None:  # noqa: ANN401
    """Have the branches of a module's functions and methods counted."""
    own = [each for each in vars(module).values() if inspect.isclass(each)]
    for holder in [module, *(each for each in own if each.__module__ == module.__name__)]:
        for value in list(vars(holder).values()):
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                atheris.instrument_func(value)  # in place


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
