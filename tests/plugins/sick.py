"""Implementations that do not wrong but harm: crash, hang, exit, raise, eat memory."""

import ctypes
import os
import sys
import time

import torch

from impls.gather import Gather


class Raising(Gather):
    """Healthy until a module has been called three times; then it raises an exception."""

    name = "raising"

    def fall_ill(self):
        raise RuntimeError("this one just raises\nwith a second line")

    def convolution(self, operator, weight, bias):
        module = super().convolution(operator, weight, bias)
        calls = 0

        def fall_ill_later(*_):
            nonlocal calls
            calls += 1
            if calls > 3:
                self.fall_ill()

        module.register_forward_hook(fall_ill_later)
        return module


class Crashing(Raising):
    """Reads address 0."""

    name = "crashing"

    def fall_ill(self):
        ctypes.string_at(0)


class Exiting(Raising):
    """Leaves the process."""

    name = "exiting"

    def fall_ill(self):
        os._exit(3)


class Resigning(Raising):
    """Leaves as programs do, with an exception that unwinds."""

    name = "resigning"

    def fall_ill(self):
        sys.exit(4)


class Hanging(Raising):
    """Never comes back."""

    name = "hanging"

    def fall_ill(self):
        while True:
            time.sleep(1)


class Devouring(Raising):
    """Asks for more memory than any machine has."""

    name = "devouring"

    def fall_ill(self):
        torch.empty(2**50, dtype=torch.uint8)
