"""A scan's records into the store, and from there into the documents: sorted and merged in flat memory."""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec.structs import replace

from keystrand import __version__
from keystrand.app.documents import FILES, MADE_BY, now, save_pieces
from keystrand.edge.chunks.task import Engine
from keystrand.edge.files import open_to_read
from keystrand.edge.partial import Partial
from keystrand.edge.store.earlier import remember
from keystrand.edge.store.merge_chunks import PER_CHUNK, by_engine
from keystrand.edge.store.observation_reads import (
    BATCH,
    Sighted,
    attempts_of,
    by_identity,
    established,
    kept_assets,
    members,
    members_counted,
    place_targets,
    records_of,
    targets_of,
)
from keystrand.edge.store.observations import ObservationStore
from keystrand.formats.documents import decode
from keystrand.formats.streamed import ContentHash, assets_in, inventory_pieces, observations_pieces
from keystrand.inventory.assignment import Assignment
from keystrand.inventory.coverage import attempts_coverage
from keystrand.inventory.merge import check_targets, merged_asset, without_assets
from keystrand.inventory.views import ownership_gaps
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.estate import Estate
from keystrand.model.observation import Record
from keystrand.model.stages import Asset, Inventory, Observations

STORE = "inventory.db"
_KEPT_OCTETS = 32 * 1024 * 1024
"""Size of an inventory whose assets are kept while the CBOM goes through them again and again: ten times as fast."""
_WAVE = 32 * PER_CHUNK
"""Identities that go to an engine at once: it starts its workers anew each time, and each of them has work for long."""
_RECORD = msgspec.json.Decoder(Record)


class Seen(NamedTuple):
    """A run of the store, its document without the records, and the reference to that document."""

    run: int
    head: Observations
    ref: InputRef


def keep_run(
    store: ObservationStore,
    out: Path,
    partial: Partial,
    *,
    made_from: InputRef,
    as_of: date,
    stand_ins: tuple[str, ...],
) -> Seen:
    """Put a scan's records into the store and write their document. A kill in between leaves the partial file."""
    with store.transaction():
        run = store.begin_run(estate=made_from.content_sha256, tool=__version__, begun=partial.begun)
        store.take(run, partial.records())
        remember(store, partial.lines())
    head = Observations(
        format_version=FORMAT_VERSION,
        tool_version=__version__,
        as_of=as_of,
        created_at=now(),
        made_from=(made_from,),
        seed=None,
        coverage=attempts_coverage(attempts_of(store, run)),
        stand_ins=stand_ins,
        records=(),
    )
    ref = save_pieces(out, Observations, observations_pieces(head, records_of(store, run)))
    with store.transaction():
        store.end_run(run, document=ref, ended=now().isoformat())
    return Seen(run, head, ref)


def kept_run(store: ObservationStore, out: Path) -> Seen:
    """Return the run of the observations in `out`, which are put into the store where they are not its last run.

    Raises `MissingInput` or `InvalidInput` where there are no observations to read.
    """
    path = out / FILES[Observations]
    with open_to_read(path, hint=f"make it first: {MADE_BY[Observations]}") as file:
        file_hash = hashlib.file_digest(file, "sha256").hexdigest()
        head = _head(file, path)
        last = store.last_run()
        if last and last.document.file_sha256 == file_hash:
            return Seen(last.id, head, last.document)
        said = ContentHash()
        for _ in said.shown(observations_pieces(head, _records(file, path))):
            pass
        ref = InputRef(kind=head.kind(), content_sha256=said.hex, file_sha256=file_hash)
        estate = next((ref.content_sha256 for ref in head.made_from if ref.kind == "estate"), "")
        with store.transaction():
            run = store.begin_run(estate=estate, tool=head.tool_version, begun=head.created_at.isoformat())
            store.take(run, _records(file, path))
            store.end_run(run, document=ref, ended=now().isoformat())
    return Seen(run, head, ref)


def _head(file: BinaryIO, path: Path) -> Observations:
    file.seek(0)
    return decode(file.readline(), Observations, file=str(path))


def _records(file: BinaryIO, path: Path) -> Iterator[Record]:
    file.seek(0)
    head = file.readline()
    for line in file:
        try:
            yield _RECORD.decode(line)
        except msgspec.MsgspecError:
            decode(head + line, Observations, file=str(path))  # says what is wrong
            raise


class AssetsOf:
    """The assets of the inventory in `out`, as often as they are gone through: of a large one memory holds one."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILES[Inventory]
        small = self._path.stat().st_size <= _KEPT_OCTETS
        self._kept = tuple(self._read()) if small else None

    def __iter__(self) -> Iterator[Asset]:
        return self._read() if self._kept is None else iter(self._kept)

    def _read(self) -> Iterator[Asset]:
        with open_to_read(self._path) as file:
            yield from assets_in(file)


def merge_run(
    store: ObservationStore,
    out: Path,
    seen: Seen,
    estate: Estate,
    *,
    made_from: tuple[InputRef, ...],
    engine: Engine | None = None,
) -> Inventory:
    """Write the inventory of `estate` that a run shows, and put its assets into the store. Raises as `merge` does.

    Assets pass one by one: as many as there are, memory holds the observations of a few. Returned is what stands
    around them (`AssetsOf` reads them back). `engine`: whose workers merge, in place of this process; the files are
    the same.
    """
    check_targets(estate, targets_of(store, seen.run))
    made = {"made_from": made_from, "created_at": now(), "tool_version": __version__}
    head = without_assets(estate, seen.head, attempts_of(store, seen.run), **made)
    assignment = Assignment(estate)
    with store.transaction():
        place_targets(store, estate)
        uses = established(store, seen.run)

        def here(batch: list[Sighted]) -> list[Asset]:
            return [merged_asset(s.name, {one for _, one in s.seen}, assignment, uses) for s in batch]

        def ended() -> Inventory:
            return replace(head, ownership_gaps=ownership_gaps(estate, members_counted(store)))

        merged, at_once = (by_engine(estate, uses, engine), _WAVE) if engine else (here, BATCH)
        assets = kept_assets(store, by_identity(store, seen.run), merged, assignment, at_once)
        pieces = inventory_pieces(head, assets, ended, lambda system: members(store, system))
        save_pieces(out, Inventory, pieces)
        return ended()
