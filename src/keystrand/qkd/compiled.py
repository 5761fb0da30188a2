"""Compiled kernels: one decorator that keeps the types of what it compiles. Importing this loads the compiler."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on the first call and keep the machine code on disk; exact arithmetic, no fast-math."""
    return cast("Function", njit(cache=True)(function))
