"""`map_chunks`: one function over many chunks, resumable, the same results whatever computes them."""

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from keystrand import __version__
from keystrand.edge.chunks.checkpoint import Checkpoint, Sweep, opened
from keystrand.edge.chunks.pool import ProcessPool
from keystrand.edge.chunks.ray_cluster import RayCluster
from keystrand.edge.chunks.task import ChunkFailed, Engine, Inline, Kinds, Outcome, Task, kinds, name_of
from keystrand.edge.chunks.values import decode, encode
from keystrand.edge.files import sha256_hex
from keystrand.model.errors import DocumentMismatch, InvalidInput

A = TypeVar("A")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Told how many chunks are done, of how many."""

_SEED_BITS = 64
_SHOWN = 200
"""Characters of an argument that an error shows."""


class Part(NamedTuple):
    """Which chunks to do of a sweep that several machines share: number `number` (from 1) of `parts` equal parts."""

    number: int = 1
    parts: int = 1


def map_chunks(
    function: Callable[[A, np.random.SeedSequence], R],
    chunks: Sequence[A],
    *,
    engine: Engine,
    seed: int,
    version: int = 1,
    checkpoint: Path | None = None,
    part: Part = Part(),  # noqa: B008  # it cannot change
    progress: Progress | None = None,
) -> list[R]:
    """Return `function(chunk, seed sequence)` of each chunk (of `part`), in the order of the chunks.

    `function` is pure, at the top level of a module, and declares its argument's and its result's type: data that
    msgspec knows, and arrays of numbers. Its seed sequence is made from `seed` and the chunk's index alone, and all
    values take the way through bytes, so engine, workers, kills and parts leave no mark on the results. `version`:
    the function's; raise it when its results change. `checkpoint`: a folder that keeps what is finished; the same
    sweep goes on from there, and files from the checkpoints of its other parts may be put into it.

    Raises `InvalidInput` before anything runs; what `checkpoint.opened` does; `ChunkFailed`, with the chunk and its
    argument; `WorkerLost`. What was finished until then is kept in the checkpoint.
    """
    types = kinds(function)
    arguments = [_as_bytes(index, chunk, types) for index, chunk in enumerate(chunks)]
    sweep = _described(name_of(function), version, arguments, seed)
    mine = _indices(part, len(chunks))
    with opened(checkpoint, sweep) if checkpoint else nullcontext() as kept:
        found = kept.finished() if kept else {}
        results = {index: _kept(index, found[index], types, checkpoint) for index in mine if index in found}
        tell = progress or (lambda _done, _total: None)
        tell(len(results), len(mine))
        tasks = [Task(index, arguments[index], seed) for index in mine if index not in results]
        with closing(engine.run(function, tasks)) as batches:
            for batch in batches if tasks else ():
                results |= _finish(batch, kept, types)
                tell(len(results), len(mine))
                _refuse(batch, chunks)
    return [results[index] for index in mine]


def engine_named(name: str, workers: int = 0, address: str = "") -> Engine:
    """Return the engine `inline`, `pool` or `ray`. Raises `InvalidInput`."""
    if name == "inline":
        return Inline()
    if name == "pool":
        return ProcessPool(workers)
    if name == "ray":
        return RayCluster(address, workers)
    raise InvalidInput(f"there is no engine {name!r}", hint="take inline, pool or ray")


def _as_bytes(index: int, chunk: object, types: Kinds) -> bytes:
    try:
        content = encode(chunk)
        decode(content, types.argument)
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError) as error:
        raise InvalidInput(f"chunk {index}, {_shown(chunk)}, is not data of type {types.argument}: {error}") from error
    return content


def _described(function: str, version: int, arguments: Sequence[bytes], seed: int) -> Sweep:
    if type(seed) is not int or not 0 <= seed < 2**_SEED_BITS:
        raise InvalidInput(f"the seed {seed!r} is not an integer of 0 to 2^{_SEED_BITS} - 1")
    digests = "".join(sha256_hex(argument) for argument in arguments)
    return Sweep(
        function=function, version=version, keystrand=__version__, numpy=np.__version__,
        seed=seed, chunks=len(arguments), arguments_sha256=sha256_hex(digests.encode()),
    )  # fmt: skip


def _indices(part: Part, chunks: int) -> range:
    if not 1 <= part.number <= part.parts:
        raise InvalidInput(f"there is no part {part.number} of {part.parts}", hint="parts are counted from 1")
    return range(part.number - 1, chunks, part.parts)


def _kept(index: int, result: bytes, types: Kinds, folder: Path | None) -> Any:
    try:
        return decode(result, types.result)
    except (TypeError, ValueError, NotImplementedError) as error:
        hint = "raise the function's version where its results change, and take a new folder"
        raise DocumentMismatch(
            f"{folder}: chunk {index} is not a result of {types.result}: {error}", hint=hint
        ) from error


def _finish(batch: Sequence[Outcome], kept: Checkpoint | None, types: Kinds) -> dict[int, Any]:
    """Keep the results of a batch, and return them by index."""
    finished = [outcome for outcome in batch if not outcome.failure]
    for outcome in finished:
        if kept:
            kept.keep(outcome.chunk, outcome.result)
    return {outcome.chunk: decode(outcome.result, types.result) for outcome in finished}


def _refuse(batch: Sequence[Outcome], chunks: Sequence[object]) -> None:
    """Raise the batch's first failure, with the trace from where it happened as a note."""
    for outcome in batch:
        if outcome.failure:
            argument = _shown(chunks[outcome.chunk])
            failed = ChunkFailed(f"chunk {outcome.chunk} of {len(chunks)}, {argument}, failed: {outcome.failure}")
            failed.add_note(outcome.trace)
            raise failed


def _shown(argument: object) -> str:
    text = repr(argument)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def engine_of(words: str) -> Engine:
    """Return the engine that `words` name: inline, pool, pool:WORKERS, ray, ray:ADDRESS. Raises `InvalidInput`."""
    name, _, more = words.partition(":")
    if name == "pool" and more and not (more.isdecimal() and 1 <= int(more) <= 1024):
        raise InvalidInput(f"{more!r} is no number of workers", hint="write pool:4 for four")
    return engine_named(name, int(more) if name == "pool" and more else 0, more if name == "ray" else "")
