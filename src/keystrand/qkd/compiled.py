"""Compiled kernels: one decorator that keeps the types of what it compiles. Importing this loads the compiler."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on the first call and keep the machine code on disk; exact arithmetic, no fast-math."""
    return cast("Function", njit(cache=True)(function))


def inlined(function: Function) -> Function:
    """Compile as part of whatever kernel calls it: for steps of a few instructions, where a call costs more."""
    return cast("Function", njit(cache=True, forceinline=True)(function))
