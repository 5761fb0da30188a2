"""A sweep that tests start in a process of its own: its words are a folder, an engine and an address."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from keystrand.edge.chunks.sweep import engine_named, map_chunks

SEED = 7
CHUNKS = range(12)


def slowly(number: int, seed: np.random.SeedSequence) -> tuple[int, float]:
    """Take long enough to be killed meanwhile."""
    time.sleep(0.1)
    return quickly(number, seed)


def quickly(number: int, seed: np.random.SeedSequence) -> tuple[int, float]:
    """Return the same without the wait."""
    return number, float(np.random.default_rng(seed).normal())


def unlucky(number: int, _seed: np.random.SeedSequence) -> int:
    """Fail on 2, be killed on 3, and tell where the others are done."""
    if number == 2:
        raise ValueError("two")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def main() -> None:
    """Run the sweep and say after each chunk how many are done."""
    folder, engine, *address = sys.argv[1:]
    results = map_chunks(
        slowly, CHUNKS, engine=engine_named(engine, 2, *address), seed=SEED, checkpoint=Path(folder),
        progress=lambda done, _total: print(done, flush=True),  # noqa: T201  # its test reads it
    )  # fmt: skip
    print(results, flush=True)  # noqa: T201  # as above
