"""Compiled kernels: decorators that keep the types of what they compile. Importing this loads the compiler.

Machine code is kept on disk for the next run where a folder for it can be written, and compiled anew where none can:
a service that may write nowhere starts more slowly, and runs all the same.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on the first call; exact arithmetic, no fast-math."""
    return _jitted(function)


def inlined(function: Function) -> Function:
    """Compile as part of whatever kernel calls it: for steps of a few instructions, where a call costs more."""
    return _jitted(function, forceinline=True)


def vectorised(function: Function) -> Function:
    """Compile with reordered sums and no checks for division by zero, without which loops become no vectors.

    Never for anything that bounds a key: rounding depends on the processor.
    """
    return _jitted(function, fastmath=True, error_model="numpy")


def _jitted(function: Function, **options: Any) -> Function:
    try:
        return cast("Function", njit(cache=True, **options)(function))
    except RuntimeError:  # numba finds no folder that it may write to
        return cast("Function", njit(**options)(function))
