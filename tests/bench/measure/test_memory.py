import mmap
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.measure import memory
from bench.measure.failures import ALLOCATION_FAILED
from bench.measure.memory import peak_of

CPU = torch.device("cpu")
MEBIBYTE = 2**20
on_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not say"
)


def fill(mebibytes):
    return torch.ones(mebibytes * MEBIBYTE, dtype=torch.uint8)


@on_linux
def test_a_call_that_takes_64_mebibytes_is_seen_as_such_within_a_tenth():
    result, peak = peak_of(lambda: fill(64), CPU)
    assert result.numel() == 64 * MEBIBYTE
    assert peak == pytest.approx(64 * MEBIBYTE, rel=0.1)


@on_linux
def test_memory_that_is_let_go_within_the_call_counts_all_the_same():
    def call():
        fill(64)
        return "result"

    result, peak = peak_of(call, CPU)
    assert result == "result"
    assert peak == pytest.approx(64 * MEBIBYTE, rel=0.1)


@on_linux
def test_the_peak_is_the_most_at_one_time_not_the_sum():
    def call():
        for _ in range(3):
            fill(64)

    assert peak_of(call, CPU)[1] == pytest.approx(64 * MEBIBYTE, rel=0.1)


@on_linux
def test_memory_taken_and_let_go_before_the_call_does_not_hide_what_it_takes():
    def take(mebibytes):
        return [torch.ones(MEBIBYTE // 16, dtype=torch.uint8) for _ in range(16 * mebibytes)]

    pieces = take(64)
    # The last piece stays and keeps the heap from shrinking by itself.
    del pieces[:-1]
    assert peak_of(lambda: take(32), CPU)[1] == pytest.approx(32 * MEBIBYTE, rel=0.1)


@on_linux
def test_what_stood_before_the_call_does_not_count():
    held = fill(64)
    peak = peak_of(lambda: fill(16), CPU)[1]
    assert held.numel() == 64 * MEBIBYTE
    assert peak == pytest.approx(16 * MEBIBYTE, rel=0.1)


def touch_every_huge_page(mebibytes):
    """Take as many pages of 4 KiB as huge ones of 2 MiB fit, or these huge ones."""
    area = mmap.mmap(-1, mebibytes * MEBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE)
    for place in range(0, len(area), 2 * MEBIBYTE):
        area[place] = 1
    return area


def has_huge_pages():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    before = resident()
    with touch_every_huge_page(64):
        return resident() - before > 32 * MEBIBYTE


@on_linux
def test_what_the_system_rounds_up_to_huge_pages_does_not_count():
    if not has_huge_pages():
        pytest.skip("this system has no huge pages")
    area, peak = peak_of(lambda: touch_every_huge_page(64), CPU)
    area.close()
    assert peak < MEBIBYTE


@on_linux
def test_huge_pages_are_back_after_a_call_also_one_that_raises():
    if not has_huge_pages():
        pytest.skip("this system has no huge pages")
    peak_of(lambda: None, CPU)
    assert has_huge_pages()
    with pytest.raises(ZeroDivisionError):
        peak_of(lambda: 1 // 0, CPU)
    assert has_huge_pages()


@on_linux
def test_a_call_that_takes_nothing_has_next_to_no_peak():
    peak_of(lambda: None, CPU)
    assert peak_of(lambda: None, CPU)[1] < MEBIBYTE


def test_where_the_system_cannot_say_there_is_a_result_but_no_peak(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "missing" / "clear_refs")
    assert peak_of(lambda: "result", CPU) == ("result", None)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")
    assert peak_of(lambda: "result", CPU) == ("result", None)


@on_linux
def test_a_limit_turns_what_is_more_than_the_machine_has_free_into_errors():
    code = (
        "import psutil, torch\n"
        "from bench.measure.memory import limit_memory\n"
        "size = int(0.9 * psutil.virtual_memory().available)\n"
        "limit_memory()\n"
        "for allocate in (lambda: torch.empty(size, dtype=torch.uint8), lambda: bytearray(size)):\n"
        "    torch.ones(2**24)\n"
        "    try:\n"
        "        allocate()\n"
        "    except (MemoryError, RuntimeError) as error:\n"
        "        print(type(error).__name__, str(error).splitlines()[:1])\n"
        "torch.ones(2**24)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    from_torch, from_python, last = done.stdout.splitlines()
    assert any(words in from_torch for words in ALLOCATION_FAILED)
    assert "MemoryError" in from_python
    assert last == "alive"


KEPT = """
import resource
import torch
from bench.measure.memory import keep_freed_memory, peak_of

assert keep_freed_memory()
for _ in range(20):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(peak_of(lambda: torch.ones(2**24), torch.device("cpu"))[1])
"""


@on_linux
def test_freed_memory_is_kept_without_hiding_the_peak_of_a_call():
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    faults, peak = map(int, done.stdout.split())
    pages_of_ten_tensors = 10 * 64 * MEBIBYTE // 4096
    assert faults < pages_of_ten_tensors // 3
    assert peak == pytest.approx(64 * MEBIBYTE, rel=0.1)
