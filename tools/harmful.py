"""Plug-ins that harm their process, each in its own way and moment: `tools/harms.py` runs them.

All compute as `gather` does until the moment comes.
"""

import ctypes
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from impls.gather import Gather

LATER = 13
"""Calls of a module after which `later` comes: while it is being timed."""
CHILDREN = 3
NOISE = "x" * 2**20
KEPT: list[object] = []


def _spin() -> None:
    while True:
        pass


def _raise() -> None:
    raise RuntimeError("a harmful plug-in\nof two lines")


def _recurse() -> None:
    _recurse()


def _leak() -> None:
    KEPT.append(torch.ones(2**22, dtype=torch.uint8))


def _devour() -> None:
    KEPT.append(torch.empty(2**50, dtype=torch.uint8))


def _leave_threads() -> None:
    for _ in range(CHILDREN):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


def _leave_children() -> None:
    for _ in range(CHILDREN):
        if os.fork() == 0:
            time.sleep(3600)
            os._exit(0)


def _print_noise() -> None:
    print(NOISE)  # noqa: T201
    print(NOISE, file=sys.stderr)  # noqa: T201


def _take_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(each, signal.SIG_IGN)


def _reseed() -> None:
    random.seed(0)
    torch.manual_seed(0)


HARMS: dict[str, Callable[[], object]] = {
    "crash": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(0),
    "leave": lambda: sys.exit(3),
    "raise": _raise,
    "sleep": lambda: time.sleep(3600),
    "spin": _spin,
    "leak": _leak,
    "devour": _devour,
    "recurse": _recurse,
    "close-descriptors": lambda: os.closerange(0, 1024),
    "threads-of-torch": lambda: torch.set_num_threads(7),
    "element-type": lambda: torch.set_default_dtype(torch.float64),
    "gradients-off": lambda: torch.set_grad_enabled(mode=False),
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 1),
    "signals": _take_signals,
    "environment": os.environ.clear,
    "seeds": _reseed,
    "folder": lambda: os.chdir("/"),
    "threads": _leave_threads,
    "children": _leave_children,
    "noise": _print_noise,
}
MOMENTS = {
    "crash": ("available", "built", "first", "later", "backward"),
    "abort": ("available", "built", "first", "later", "backward"),
    "exit": ("available", "built", "first", "later", "backward"),
    "raise": ("available", "built", "first", "later", "backward"),
    "sleep": ("later",),
    "spin": ("later",),
    "leave": ("built", "later"),
    "close-descriptors": ("built", "later"),
    "leak": ("later",),
}
USUAL_MOMENTS = ("built", "later")


class Harmful(Gather):
    """Harms at a moment."""

    name = "harmful"
    harm = "raise"
    moment = "never"

    def unavailable(self, device: torch.device) -> str | None:
        """Harm, or answer as `gather` does."""
        self._perhaps("available")
        return super().unavailable(device)

    def convolution(self, operator: Any, weight: Any, bias: Any) -> nn.Module:  # noqa: ANN401
        """Make a module that harms when it is called, or differentiated."""
        self._perhaps("built")
        module = super().convolution(operator, weight, bias)
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1
            self._perhaps("first")
            if calls > LATER:
                self._perhaps("later")

        module.register_forward_hook(count)
        for parameter in module.parameters():
            parameter.register_hook(lambda _: self._perhaps("backward"))
        return module

    def _perhaps(self, moment: str) -> None:
        if moment == self.moment:
            HARMS[self.harm]()


for _harm in HARMS:
    for _moment in MOMENTS.get(_harm, USUAL_MOMENTS):
        _name = f"{_harm}-{_moment}"
        globals()[_name] = type(
            _name,
            (Harmful,),
            {"__module__": __name__, "name": _name, "harm": _harm, "moment": _moment},
        )
