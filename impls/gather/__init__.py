"""`gather`: kernel map, then matrix multiply on active pairs only.

On a CPU through compiled loops that gather, multiply and scatter in one go, without buffers; on a GPU,
and wherever numba is missing, through torch.
"""

from impls.gather.implementation import Gather

__all__ = ["Gather"]
