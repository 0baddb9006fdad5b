from itertools import cycle

import pytest
import torch
from pretended_gpu import PretendedGpu

from bench.measure import gpu_clock
from bench.measure.gpu_clock import clock_in_words

CUDA = torch.device("cuda")


class Word:
    """A tensor of one element, whose filling is a kernel, now a little longer and now shorter."""

    def __init__(self, gpu):
        self.gpu = gpu
        self.nanoseconds = cycle([4_320, 4_352, 4_416])

    def zero_(self):
        self.gpu.launch(next(self.nanoseconds))


@pytest.fixture
def gpu(monkeypatch):
    gpu = PretendedGpu(monkeypatch, launch_ns=4_000)
    monkeypatch.setattr(gpu_clock, "time", gpu)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: Word(gpu))
    return gpu


def test_the_tick_of_events_and_what_nothing_and_a_launch_take_are_told(gpu, monkeypatch):
    fine = clock_in_words(CUDA)
    assert "events tick every 32 ns;" in fine
    assert "nothing takes 0.0 µs by events and 0.0 µs by the wall clock" in fine
    assert fine.endswith("launching a kernel takes the host 4.0 µs")
    event = torch.cuda.Event

    class Coarse(event):
        def elapsed_time(self, other):
            return (other.at // 1024 - self.at // 1024) * 1024e-6

    monkeypatch.setattr(torch.cuda, "Event", Coarse)
    assert "events tick every 1,024 ns;" in clock_in_words(CUDA)


def test_a_cpus_clock_needs_no_measuring():
    assert clock_in_words(torch.device("cpu")) == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpus_clock_is_measured():
    assert "events tick every" in clock_in_words(CUDA)
