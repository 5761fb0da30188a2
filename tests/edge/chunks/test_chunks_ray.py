"""Sweeps on a real Ray cluster of this machine. Ray is among the development requirements: nothing is left out."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.edge.chunks import sweeps

from keystrand.edge.chunks.ray_cluster import RayCluster, joined
from keystrand.edge.chunks.sweep import Part, map_chunks
from keystrand.edge.chunks.task import ChunkFailed, Inline, WorkerLost
from keystrand.model.errors import InvalidInput, PeerUnavailable

pytestmark = pytest.mark.system

INLINE = map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=Inline(), seed=sweeps.SEED)


def test_a_cluster_that_is_not_there_is_a_clear_error() -> None:
    """An address without a Ray cluster is named."""
    with pytest.raises(PeerUnavailable, match="no Ray cluster at nowhere"):
        map_chunks(sweeps.quickly, [1], engine=RayCluster("nowhere"), seed=1)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:99999999"])
def test_an_address_where_nobody_listens_is_told_at_once(address: str) -> None:
    """Ray itself would try for minutes."""
    with pytest.raises(PeerUnavailable, match="no Ray cluster at"), joined(address):
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a cluster that we start and join; it ends with this file's tests."""
    with joined(workers=2) as ray:
        yield ray.get_runtime_context().gcs_address
    assert not ray.is_initialized()


@pytest.mark.parametrize("workers", [0, 1, 5])
@pytest.mark.usefixtures("address")
def test_a_cluster_gives_the_same_whatever_its_size(workers: int) -> None:
    """Results are those of one process, to the bit and in order."""
    assert map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=RayCluster(workers=workers), seed=sweeps.SEED) == INLINE


@pytest.mark.usefixtures("address")
def test_work_is_done_elsewhere() -> None:
    """Other processes compute."""
    assert os.getpid() not in map_chunks(sweeps.unlucky, [0, 1], engine=RayCluster(), seed=1)


@pytest.mark.usefixtures("address")
def test_a_failure_in_a_cluster_names_its_chunk() -> None:
    """As with any engine."""
    with pytest.raises(ChunkFailed, match="chunk 2 of 3, 2, failed: ValueError: two"):
        map_chunks(sweeps.unlucky, range(3), engine=RayCluster(), seed=1)


def test_a_sweep_begun_elsewhere_goes_on_in_a_cluster(address: str, tmp_path: Path) -> None:
    """A checkpoint knows no engines. Another process joins the cluster by its address."""
    common: dict[str, Any] = {"seed": sweeps.SEED, "checkpoint": tmp_path}
    map_chunks(sweeps.slowly, sweeps.CHUNKS, engine=Inline(), part=Part(1, 3), **common)
    begun = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    command = [sys.executable, "-c", "from tests.edge.chunks.sweeps import main; main()", str(tmp_path), "ray", address]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    *told, results = run.stdout.splitlines()
    assert (told[0], told[-1], results) == ("4", "12", str(INLINE))
    assert run.stderr == ""
    assert begun.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}.items()


def test_a_process_works_on_one_cluster(address: str) -> None:
    """The address of another one is refused, not passed over; its own is taken."""
    with pytest.raises(InvalidInput, match=f"works on the Ray cluster at {address}, so not at elsewhere:1"):
        map_chunks(sweeps.quickly, [1], engine=RayCluster("elsewhere:1"), seed=1)
    assert map_chunks(sweeps.quickly, sweeps.CHUNKS, engine=RayCluster(address), seed=sweeps.SEED) == INLINE


@pytest.mark.usefixtures("address")
def test_a_worker_that_dies_again_and_again_is_told() -> None:
    """Ray tries a lost task again; one that kills each of its workers ends the sweep with its chunk."""
    with pytest.raises(WorkerLost, match="could not compute chunk 1: WorkerCrashedError"):
        map_chunks(sweeps.unlucky, [0, 3], engine=RayCluster(), seed=1)
