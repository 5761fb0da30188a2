"""Merging identities into assets by the workers of an engine, here or elsewhere: the result is that of one process."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from keystrand.edge.chunks.sweep import map_chunks
from keystrand.edge.chunks.task import Engine
from keystrand.edge.store.observation_reads import Sighted
from keystrand.inventory.assignment import Assignment
from keystrand.inventory.identity import canonical_place
from keystrand.inventory.merge import Established, merged_asset
from keystrand.model.algorithm import Verdict
from keystrand.model.estate import Estate
from keystrand.model.observation import Endpoint, Observation, Strength
from keystrand.model.stages import Asset

PER_CHUNK = 1000
"""Identities of one chunk: some tenths of a second of work, a megabyte or two on the way."""
Uses = tuple[tuple[Strength, Verdict], ...]


class Chunk(NamedTuple):
    """Identities with all that was seen of them, and what their merge needs: of the estate, and of key exchanges."""

    estate: Estate
    groups: tuple[tuple[str, tuple[Observation, ...]], ...]
    uses: dict[str, Uses]


def merge_chunk(chunk: Chunk, seed: np.random.SeedSequence) -> list[Asset]:  # noqa: ARG001 - no chance in it
    """Return the assets of a chunk, in its order."""
    assignment = Assignment(chunk.estate)

    def established(place: str) -> Uses:
        return chunk.uses.get(place, ())

    return [merged_asset(name, set(seen), assignment, established) for name, seen in chunk.groups]


def by_engine(estate: Estate, established: Established, engine: Engine) -> Callable[[list[Sighted]], list[Asset]]:
    """Return what merges many identities at once by the workers of `engine`."""
    targets = {target.id: target for target in estate.target}
    around = replace(estate, target=(), segment=())

    def chunk(part: list[Sighted]) -> Chunk:
        groups = tuple((one.name, tuple(seen for _, seen in one.seen)) for one in part)
        named = {seen.target for _, group in groups for seen in group}
        known = replace(around, target=tuple(targets[name] for name in sorted(named)))
        return Chunk(known, groups, {place: tuple(established(place)) for place in _endpoints(groups)})

    def merged(batch: list[Sighted]) -> list[Asset]:
        chunks = [chunk(batch[at : at + PER_CHUNK]) for at in range(0, len(batch), PER_CHUNK)]
        return [asset for part in map_chunks(merge_chunk, chunks, engine=engine, seed=0) for asset in part]

    return merged


def _endpoints(groups: Iterable[tuple[str, tuple[Observation, ...]]]) -> set[str]:
    seen = (one for _, group in groups for one in group)
    return {canonical_place(one.place) for one in seen if isinstance(one.fact, Endpoint)}
