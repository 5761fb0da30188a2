"""Sweeps on a real Ray cluster of this machine. Ray is among the development requirements: nothing is left out."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from tests.edge.chunks import sweeps

from keystrand.edge.chunks.ray_cluster import RayCluster
from keystrand.edge.chunks.sweep import Part, map_chunks
from keystrand.edge.chunks.task import ChunkFailed, Inline, WorkerLost

pytestmark = pytest.mark.system

INLINE = map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=Inline(), seed=sweeps.SEED)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of a cluster that runs through this file; no test has joined it."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def fail(number: int, _seed: np.random.SeedSequence) -> int:
    """Fail on 2, be killed on 3."""
    if number == 2:
        raise ValueError("two")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@pytest.mark.parametrize("workers", [0, 1, 5])
def test_a_cluster_gives_the_same_whatever_its_size(cluster: str, workers: int) -> None:
    """Results are those of one process, to the bit, in order, and a cluster that was joined before stays."""
    assert map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=RayCluster(workers=workers), seed=sweeps.SEED) == INLINE
    assert ray.is_initialized()


def test_work_is_done_elsewhere(cluster: str) -> None:
    """Other processes compute."""
    assert os.getpid() not in map_chunks(fail, [0, 1], engine=RayCluster(), seed=1)


def test_a_failure_in_a_cluster_names_its_chunk(cluster: str) -> None:
    """As any engine does."""
    with pytest.raises(ChunkFailed, match="chunk 2 of 3, 2, failed: ValueError: two"):
        map_chunks(fail, range(3), engine=RayCluster(), seed=1)


def test_a_worker_that_dies_again_and_again_is_told(cluster: str) -> None:
    """Ray tries a lost task again; one that kills each of its workers ends the sweep with its chunk."""
    with pytest.raises(WorkerLost, match="could not compute chunk 1: WorkerCrashedError"):
        map_chunks(fail, [0, 3], engine=RayCluster(), seed=1)


def test_a_sweep_begun_elsewhere_goes_on_in_a_cluster(cluster: str, tmp_path: Path) -> None:
    """A checkpoint knows no engines."""
    told: list[int] = []
    common: dict[str, Any] = {"seed": sweeps.SEED, "checkpoint": tmp_path}
    map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=Inline(), part=Part(1, 3), **common)
    results = map_chunks(
        sweeps.quickly, sweeps.CHUNKS, engine=RayCluster(), progress=lambda done, _total: told.append(done), **common
    )
    assert results == INLINE
    assert (told[0], told[-1]) == (4, 12)
    assert len([*tmp_path.glob("chunk-*")]) == len(sweeps.CHUNKS)
