"""Loops that are shared out over threads: torch's own, or others where torch's cannot be had."""

import threading

import pytest

from impls.gather import threads
from impls.gather.threads import spread


@pytest.fixture(params=["torch's threads", "own threads"])
def way(request, monkeypatch):
    if request.param == "own threads":
        monkeypatch.setattr(threads, "_run_on_torchs", lambda: None)
    elif threads._run_on_torchs() is None:
        pytest.skip("torch's OpenMP library has no GOMP_parallel")
    return request.param


@pytest.mark.parametrize(("count", "unit"), [(1, 1), (2, 1), (7, 1), (100, 1), (100, 16), (15, 16)])
@pytest.mark.parametrize("most", [1, 2, 3, 16])
def test_every_part_of_the_range_is_done_once(count, unit, most, way):
    parts = []
    spread(lambda first, last: parts.append((first, last)), count, most, unit)
    parts.sort()
    assert [first for first, _ in parts] == [0, *(last for _, last in parts[:-1])]
    assert parts[-1][1] == count
    assert all(first % unit == 0 for first, _ in parts)


def test_parts_are_done_at_the_same_time(way):
    meeting = threading.Barrier(2, timeout=30)
    spread(lambda *_: meeting.wait(), 2, 2)


def test_what_any_thread_raises_reaches_the_caller_and_the_threads_stay_usable(way):
    def call(first, last):
        raise ValueError(f"part {first}")

    for _ in range(3):
        with pytest.raises(ValueError, match="part"):
            spread(call, 8, 2)
    test_every_part_of_the_range_is_done_once(100, 1, 2, way)
