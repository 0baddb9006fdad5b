"""Processes that end with who started them, however that ended."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl.h."""


def end_with_parent() -> None:
    """Be killed when the parent ends, on Linux; elsewhere this does nothing."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
