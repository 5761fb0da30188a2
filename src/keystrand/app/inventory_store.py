"""A scan's records into the store, and from there into the documents: sorted and merged in flat memory."""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from keystrand import __version__
from keystrand.app.documents import FILES, MADE_BY, now, save_pieces
from keystrand.edge.files import open_to_read
from keystrand.edge.partial import Partial
from keystrand.edge.store.observation_reads import (
    attempts_of,
    by_identity,
    established,
    kept_assets,
    members,
    place_targets,
    records_of,
    targets_of,
)
from keystrand.edge.store.observations import ObservationStore
from keystrand.formats.documents import decode
from keystrand.formats.streamed import ContentHash, inventory_pieces, observations_pieces
from keystrand.inventory.coverage import attempts_coverage
from keystrand.inventory.merge import assignment, merged_asset, without_assets
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.estate import Estate
from keystrand.model.observation import Record
from keystrand.model.stages import Inventory, Observations

STORE = "inventory.db"
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


def merge_run(
    store: ObservationStore, out: Path, seen: Seen, estate: Estate, *, made_from: tuple[InputRef, ...]
) -> InputRef:
    """Write the inventory of `estate` that a run shows, and put its assets into the store. Raises as `merge` does.

    Assets pass one by one: as many as there are, memory holds the observations of one.
    """
    assigned = assignment(estate, targets_of(store, seen.run))
    head = without_assets(
        estate,
        seen.head,
        attempts_of(store, seen.run),
        made_from=made_from,
        created_at=now(),
        tool_version=__version__,
    )
    with store.transaction():
        place_targets(store, estate)
        uses = established(store, seen.run)
        found = (
            (n, merged_asset(name, sightings, assigned, uses)) for n, name, sightings in by_identity(store, seen.run)
        )
        pieces = inventory_pieces(head, kept_assets(store, found), lambda system: members(store, system))
        return save_pieces(out, Inventory, pieces)
