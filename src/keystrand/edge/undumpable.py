"""A program that holds keys leaves no core file, and shows its memory to no debugger of the same user."""

import ctypes
import resource

_PR_SET_DUMPABLE = 4
"""prctl(2); its number in linux/prctl.h."""


def hide_memory() -> None:
    """Do so from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
