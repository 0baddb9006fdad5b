"""A GPU that there is not: one stream, whose times are known."""

import torch

from bench.measure import timers


class PretendedGpu:
    """Stands in for torch's CUDA and for the clock: one stream, a cycle of which is a nanosecond.

    A launch takes the host `launch_ns` and the stream as long as it is told.
    """

    def __init__(self, monkeypatch, launch_ns=10_000):
        self.now = 10**15  # on the host
        self.free_at = self.now  # when the stream has done all that is queued
        self.launch_ns = launch_ns
        self.holds = []
        self.flushes = 0
        gpu = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = max(gpu.now, gpu.free_at)

            def query(self):
                return gpu.now >= self.at

            def elapsed_time(self, other):
                return (other.at - self.at) * 1e-6

        monkeypatch.setattr(timers, "time", self)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "_sleep", self.hold)
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronize)
        monkeypatch.setattr(torch, "empty", lambda size, dtype, device: self)

    def perf_counter_ns(self):
        return self.now

    def zero_(self):
        self.flushes += 1
        self.run(150_000)

    def hold(self, cycles):
        self.holds.append(cycles)
        self.run(cycles)

    def run(self, nanoseconds):
        self.free_at = max(self.now, self.free_at) + nanoseconds

    def launch(self, nanoseconds):
        self.now += self.launch_ns
        self.run(nanoseconds)

    def synchronize(self, device=None):
        self.now = max(self.now, self.free_at)


def launches(gpu, count, nanoseconds=2_000):
    def call(argument):
        for _ in range(count):
            gpu.launch(nanoseconds)
        return argument

    return call
