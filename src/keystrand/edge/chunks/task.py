"""A chunk's task, what comes of it, and what an engine is."""

import inspect
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol, get_type_hints

import numpy as np

from keystrand.edge.chunks.values import decode, encode
from keystrand.model.errors import InvalidInput, KeystrandError

Function = Callable[[Any, np.random.SeedSequence], Any]
"""What a sweep does with each chunk: pure, at the top level of a module, its argument and result typed data."""


class Task(NamedTuple):
    """One chunk by its index, its argument as `values.encode` has it, and the seed of the whole sweep."""

    chunk: int
    argument: bytes
    seed: int


class Outcome(NamedTuple):
    """What came of a task: its result as bytes, or in `failure` what was raised, with its `trace`."""

    chunk: int
    result: bytes = b""
    failure: str = ""
    trace: str = ""


class ChunkFailed(KeystrandError):
    """The function failed on a chunk. The sweep stops; what was finished is kept where there is a checkpoint."""

    default_hint = (
        "correct what the message names and run the sweep again; a checkpoint's finished chunks are not redone"
    )


class WorkerLost(KeystrandError):
    """A worker ended before its chunk did. The sweep stops; what was finished is kept where there is a checkpoint."""

    default_hint = "see whether the system ran out of memory, use fewer workers, and run the sweep again"


class Engine(Protocol):
    """Where tasks are computed."""

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield what came of the tasks, as they end, in any order; close it to stop. Raises `WorkerLost`."""


class Inline:
    """Engine: this process, one chunk after the other."""

    def run(self, function: Function, tasks: Sequence[Task]) -> Generator[list[Outcome], None, None]:
        """Yield what came of each task."""
        for task in tasks:
            yield [compute(function, task)]


class Kinds(NamedTuple):
    """Types of a function's argument and result."""

    argument: Any
    result: Any


@cache
def kinds(function: Function) -> Kinds:
    """Return the declared types of `function`. Raises `InvalidInput` where other processes could not call it."""
    name = name_of(function)
    try:
        argument, _seed, *_ = inspect.signature(function).parameters
        hints = get_type_hints(function, include_extras=True)
        return Kinds(hints[argument], hints["return"])
    except (KeyError, NameError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{name} must take a typed argument and a SeedSequence and return a typed result: {error}"
        ) from error


def name_of(function: Function) -> str:
    """Return the name by which every process finds `function`. Raises `InvalidInput` where it has none."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), name, None) is not function:
        raise InvalidInput(f"{name or function!r} is not a function at the top level of a module that can be imported")
    return f"{module}.{name}"


def compute(function: Function, task: Task) -> Outcome:
    """Return what `function` makes of a task. Whatever it raises is an outcome, so that each engine tells it alike.

    Chunk i of a sweep draws from `SeedSequence(seed).spawn(n)[i]`, made here from the index alone.
    """
    try:
        argument, result = kinds(function)
        seed = np.random.SeedSequence(task.seed, spawn_key=(task.chunk,))
        content = encode(function(decode(task.argument, argument), seed))
        decode(content, result)
    except (Exception, SystemExit) as error:
        return Outcome(task.chunk, failure=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    return Outcome(task.chunk, content)
