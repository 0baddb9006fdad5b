"""What implementations bring along: thread pools of their own."""

from threadpoolctl import threadpool_info, threadpool_limits

from impls.gather import Gather

CALLS_OF_A_CHECK = 12


class BringsThreads(Gather):
    """Its library sets two threads when it is loaded; beyond its checks it cannot work with them."""

    name = "brings_threads"

    def unavailable(self, device):
        threadpool_limits(2)

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        calls = 0

        def count_threads(*_):
            nonlocal calls
            calls += 1
            if calls > CALLS_OF_A_CHECK and any(p["num_threads"] != 1 for p in threadpool_info()):
                raise RuntimeError("more than one thread")

        module.register_forward_hook(count_threads)
        return module
