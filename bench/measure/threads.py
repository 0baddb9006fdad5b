"""Notices who computes in threads of its own, during a call or after it has returned."""

import time

from bench.measure.steps import Step

ENOUGH_NS = 1_000_000
"""Calls are repeated until they have taken this long together, as far as a sample may have as many."""
LONGEST_CALL_NS = 1_000_000_000
"""Calls that take longer are not looked at: another one would take too much of a run."""
WAIT_NS = 5_000_000, 50_000_000
"""After calls, work that goes on is waited for as long as they took, within these bounds: a thread that
is running is counted at the system's next tick, up to 4 ms later, and one that has ended at once."""
SETTLING_SECONDS = 0.3
"""Before whoever seems to do so is looked at again: threads of libraries run for a while after they are
started, OpenBLAS's for 0.12 s, to see whether there is work."""
OTHERS_SHARE = 0.1
OTHERS_NS = 50_000
"""Other threads may take this share of the calls' time, and these nanoseconds a call: reading the two
clocks that tell of them takes some microseconds."""


def work_of_other_threads(step: Step) -> str | None:
    """Say that threads other than this one compute, if they do, where one thread was asked for.

    The operating system counts processor time, whatever else runs, so that nobody is blamed for what
    the machine does.
    """
    if _told(step) is None:
        return None
    time.sleep(SETTLING_SECONDS)
    return _told(step)


def _told(step: Step) -> str | None:
    most = step.most_calls[0]
    calls = wall = others = 0
    while calls < most and wall < ENOUGH_NS:
        argument = step.prepare()
        before, begun = time.perf_counter_ns(), _others_ns()
        step.call(argument)
        others += _others_ns() - begun
        wall += time.perf_counter_ns() - before
        calls += 1
    if others > OTHERS_SHARE * wall + OTHERS_NS * calls:
        return (
            f"it computes in threads of its own: {1 + others / wall:.1f} processors were at work "
            f"during a call, and one thread was asked for (torch.get_num_threads() says how many)"
        )
    begun = _others_ns()
    shortest, longest = WAIT_NS
    time.sleep(min(max(wall, shortest), longest) * 1e-9)
    after = _others_ns() - begun
    if after > OTHERS_SHARE * wall + OTHERS_NS:
        return (
            f"other threads (its own, or torch's if it set their number) went on for at least "
            f"{after / 1000:,.0f} µs after a call had returned, which took "
            f"{wall / calls / 1000:,.0f} µs"
        )
    return None


def _others_ns() -> int:
    """Processor time of all threads of this process but this one."""
    return time.process_time_ns() - time.thread_time_ns()
